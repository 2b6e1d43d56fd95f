"""Tiny models under attack, what is to be brought back from them, and small numbers for attacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from erase.diffusion.conditioning import Conditioning
from erase.models.checkpoint import load_checkpoint
from eval.attack.attack import Aim, Kit, Variant
from eval.attack.attackable import Attackable
from eval.attack.known import ATTACKS, PLAIN
from expunge.evaluations.under_attack import UnderAttack

KNOWN = {attack.name: attack for attack in (PLAIN, *ATTACKS)}
TEMPLATES = ("an image of a {}", "a picture of a {}")
NUMBERS: dict[str, dict[str, Any]] = {
    "none": {},
    "words": {"strengths": (1.0, 3.0)},
    "complete": {"begun": (0.0, 0.5), "noised": (0.5,), "painted": (0.5,)},
    "learned-word": {
        "forms": (("own", 1, "images"), ("near", 1, "path"), ("random", 2, "images")),
        "steps": (1, 2),
        "lr": 1e-2,
        "batch": 2,
    },
    "embedding": {"noised": ("images", "path"), "steps": (1, 2), "lr": 1e-2, "batch": 2},
    "relearn": {
        "forms": (("full", "concept"), ("lora", "concept"), ("full", "others")),
        "steps": (1, 2),
        "images": 3,
        "batch": 2,
    },
    "prompt": {"objectives": ("noise", "original"), "tokens": 2, "timesteps": 2, "iterations": 2},
    "invert": {"iterations": 2},
}
"""By the attack's name."""


@dataclass(frozen=True)
class Scene:
    """A model under attack, and what the attack is told."""

    model: UnderAttack
    aim: Aim


def under(folder: Path, steps: int = 2, guidance: float = 5.0, device: str = "cpu") -> UnderAttack:
    """The model of a folder."""
    bundle = load_checkpoint(str(folder), device=device, dtype="float32")
    return UnderAttack(bundle, sha256="x", steps=steps, guidance=guidance, lr=None)


def make_scene(folder: Path, pictures: Path, device: str = "cpu") -> Scene:
    """The model of a folder as the original, and the same with altered weights as what is left."""
    original, model = (under(folder, device=device) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.denoiser.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator).to(weight)
    return Scene(model, make_aim(original, pictures))


def make_aim(original: UnderAttack, folder: Path) -> Aim:
    """Churches to be brought back, and four pictures of each kind that the original draws."""
    prompts = [template.format("church") for template in TEMPLATES]
    return Aim(
        name="church",
        words="church",
        templates=TEMPLATES,
        prompts=tuple(prompts),
        probes=("a chapel", "a place to pray"),
        pairs=(("an image of a church", "an image of a dog"), ("a church", "a dog")),
        images=_pictures(original, prompts * 2, folder / "concept"),
        captions=tuple(prompts * 2),
        others=_pictures(original, ["a dog", "an apple"] * 2, folder / "others"),
        other_captions=("a dog", "an apple") * 2,
        original=original,
    )


def _pictures(model: UnderAttack, prompts: Sequence[str], folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True)
    latents = model.denoise(model.noise(range(len(prompts))), model.encode(prompts))
    files = tuple(folder / f"{i}.png" for i in range(len(prompts)))
    for file, image in zip(files, model.decode(latents), strict=True):
        image.save(file)
    return files


def kit(folder: Path, seed: int = 0, count: int = 2) -> Kit:
    """A kit that keeps its states in a folder."""
    return Kit(seed=seed, count=count, states=folder / "states")


class Dying:
    """A kit's progress that ends the process, so to say, after so many passes."""

    def __init__(self, passes: int) -> None:
        self._left = passes

    def __call__(self, passes: int) -> None:
        self._left -= passes
        if self._left <= 0:
            raise KeyboardInterrupt


@contextmanager
def counting_steps(model: Attackable) -> Iterator[list[int]]:
    """The rows of each pass that keeps a gradient, as each step of learning makes one."""
    rows: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            rows.append(len(inputs[0]))

    handle = model.denoiser.register_forward_pre_hook(count)
    try:
        yield rows
    finally:
        handle.remove()


def first(scene: Scene, own: Kit, name: str, **numbers: Any) -> Variant:
    """The first variant of an attack, by these numbers and else by `NUMBERS`."""
    told = {**NUMBERS[name], **numbers}
    return next(KNOWN[name].run(scene.model, scene.aim, own, **told))


def learned(scene: Scene, own: Kit, name: str, **numbers: Any) -> dict[str, str]:
    """A hash of what each variant learned, by these numbers and else by `NUMBERS`.

    Without those that a killed attack had drawn before.
    """
    told = {**NUMBERS[name], **numbers}
    found = KNOWN[name].run(scene.model, scene.aim, own, **told)
    return {one.name: fingerprint(one) for one in found if one.step and one.current}


def same(found: Conditioning, wanted: Conditioning) -> bool:
    """Whether two are equal bit for bit, in all their parts."""
    told = dict(wanted.tensors())
    return all(torch.equal(tensor, told.pop(name)) for name, tensor in found.tensors()) and not told


def draw(variant: Variant, own: Kit) -> Tensor:
    """The latents of a variant's images, as `eval.depth.draw` draws them."""
    model = variant.model
    latents = model.noise(own.seeds()) if variant.latents is None else variant.latents
    return model.denoise(latents, variant.told, variant.first)


def digest(model: Attackable) -> str:
    """Of all weights of all parts."""
    assert isinstance(model, UnderAttack)
    parts = (model.denoiser, *model._bundle.encoders)
    return _hash(weight for part in parts for weight in part.state_dict().values())


def fingerprint(variant: Variant) -> str:
    """Of what was learned: what the variant keeps, and the weights that draw it."""
    return _hash(variant.learned.values()) + digest(variant.model)


def _hash(tensors: Iterable[Tensor]) -> str:
    found = sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
