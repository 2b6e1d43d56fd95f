"""The mask, an attack and drawing to be timed, on any device: ours, and the bare passes'.

Models have random weights: time and memory do not depend on them. Each function gives the seconds
of a round, warm, and how many images are in one.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.clock import Marks, time_each
from benchmarks.configs import TOKENS
from benchmarks.generation import plain_loop
from benchmarks.models import make_conditioning, make_model, make_pictures, make_sets
from benchmarks.reference import reference_saliency
from benchmarks.training_steps import Case, shaped
from erase.diffusion.conditioning import Conditioning
from erase.diffusion.cpu_kernels import compiled
from erase.image_sets.datasets import Drawing as SetDrawing
from erase.image_sets.datasets import ForgetSet, draw_set
from erase.methods.salun import forget_saliency
from erase.models.bundle import Bundle
from erase.models.prediction import predict
from erase.training.batches import NoisyBatch, add_noise
from erase.training.loop import Kit
from erase.training.memory import plan_saliency
from eval.attack.attack import Aim
from eval.attack.attack import Kit as AttackKit
from eval.attack.learned_word import LEARNED_WORD
from eval.generation.generate import Drawing, generate
from expunge.evaluations.under_attack import UnderAttack
from prompts.evaluation_rows import retain_rows

GUIDANCE = 7.5


@dataclass(frozen=True)
class Timed:
    """What was timed."""

    images: int
    """In a round."""
    seconds: list[float]
    """Of each round."""
    how: str = ""
    """What the free memory decided."""


def time_mask(case: Case) -> Timed:
    """The guided saliency, as the product makes it."""
    sd, forget = _loaded(case)
    at_once, how = _room(case, sd)
    marks = Marks(case.device)
    kit = Kit(micro_batch=at_once, seen=marks)
    numbers = {"guidance": GUIDANCE, "batch_size": case.rows, "seed": 0}
    forget_saliency(sd, case.trained(sd.denoiser), forget, kit, **numbers)
    # A mark lies between forward and backward pass: from each to the next is one of either.
    return Timed(at_once, marks.seconds[1:], how)


def time_mask_passes(case: Case) -> Timed:
    """Forward and backward passes of as many rows: guidance makes two of an image."""
    sd, forget = _loaded(case)
    at_once, how = _room(case, sd)
    case.trained(sd.denoiser)
    batch = next(_batches(case, sd, forget, 2 * at_once))

    def work() -> None:
        (predict(sd.denoiser, *batch.inputs) - batch.target).square().mean().backward()

    return Timed(at_once, time_each(case.device, work, case.steps)[1:], how)


def time_mask_reference(case: Case) -> Timed:
    """The official structure's gradients, copied to the CPU batch by batch, and added there."""
    sd, forget = _loaded(case)
    at_once, how = _room(case, sd)
    case.trained(sd.denoiser)
    no_prompt = sd.encode_nothing().to(case.device)
    batches = _batches(case, sd, forget, at_once)

    def work() -> None:
        reference_saliency(sd.denoiser, sd.schedule, [next(batches)], no_prompt, GUIDANCE)

    return Timed(at_once, time_each(case.device, work, case.steps)[1:], how)


def time_attack(case: Case) -> Timed:
    """Steps of a learned word in its published form, with the quick budget's numbers."""
    sd = _model(case)
    model = UnderAttack(sd, sha256="", steps=1, guidance=GUIDANCE, lr=None, at_once=case.rows)
    numbers = {**LEARNED_WORD.budgets["quick"], "steps": (case.steps,), "batch": case.rows}
    marks = Marks(case.device)
    with tempfile.TemporaryDirectory() as folder:
        kit = AttackKit(seed=0, count=1, states=Path(folder), progress=marks)
        next(LEARNED_WORD.run(model, _aim(model, sd, Path(folder)), kit, **numbers))
    return Timed(case.rows, marks.seconds[1:])


def time_attack_passes(case: Case) -> Timed:
    """Forward and backward passes down to what the UNet is told; its weights want no gradient."""
    sd = _model(case)
    unet = sd.denoiser.requires_grad_(False)
    latents, timesteps, told = _inputs(case, sd, case.rows)
    told = replace(told, embeddings=told.embeddings.requires_grad_())

    def work() -> None:
        predict(unet, latents, timesteps, told).square().mean().backward()

    return Timed(case.rows, time_each(case.device, work, case.steps)[1:])


def time_passes_of_drawing(case: Case, sampling: int) -> Timed:
    """The UNet alone: as many passes as there are sampling steps, of two rows an image."""
    sd = _model(case)
    inputs = _inputs(case, sd, 2 * case.rows)
    unet = _for_drawing(case, sd).denoiser

    @torch.no_grad()
    def work() -> None:
        for _ in range(sampling):
            predict(unet, *inputs)

    return Timed(case.rows, time_each(case.device, work, case.steps)[1:])


def time_sets(case: Case, sampling: int) -> Timed:
    """A set as `expunge erase` draws it: drawn, encoded and stored; weights in float32."""
    sd = _for_drawing(case, _model(case, torch.float32))
    drawing = SetDrawing("ddim", sampling, GUIDANCE, case.rows, case.dtype)
    prompts, count, marks = _prompts(case.rows), case.rows * case.steps, Marks(case.device)
    with tempfile.TemporaryDirectory() as folder:
        told: Any = {"seed": 0, "role": "forget", "drawing": drawing, "cache": Path(folder)}
        draw_set(sd, prompts, count, **told, progress=marks)
    # It reports first what is there already: nothing.
    return Timed(case.rows, marks.seconds[1:])


def time_images(case: Case, sampling: int) -> Timed:
    """Images as `expunge evaluate` draws them in batches, as PNG files."""
    sd = _for_drawing(case, _model(case))
    drawing = Drawing("ddim", sampling, GUIDANCE, sd.native_size, str(case.dtype)[6:])
    rows, marks = retain_rows(_prompts(case.rows * case.steps)), Marks(case.device)
    with tempfile.TemporaryDirectory() as folder:
        told: Any = {"model_hash": "", "batch_size": case.rows, "progress": marks}
        generate(sd.pipeline("ddim"), rows, Path(folder), drawing, **told)
    return Timed(case.rows, marks.seconds)


def time_plain_loop(case: Case, sampling: int) -> Timed:
    """The pipeline called once a prompt, as model cards show it."""
    pipeline = _model(case).pipeline("ddim")
    rows = iter(retain_rows(_prompts(case.steps)))
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            plain_loop(pipeline, [next(rows)], sampling, Path(folder))

        return Timed(1, time_each(case.device, work, case.steps)[1:])


def _model(case: Case, dtype: torch.dtype | None = None) -> Bundle:
    """All parts, the UNet in the form of the case, but for compiling."""
    sd = make_model(case.size, dtype or case.dtype, case.device)
    shaped(sd.denoiser, case)
    return sd


def _for_drawing(case: Case, sd: Bundle) -> Bundle:
    """The same with its UNet compiled, if the case wants it."""
    if case.form != "compiled":
        return sd
    return replace(sd, parts={**sd.parts, "unet": compiled(sd.denoiser)})


def _loaded(case: Case) -> tuple[Bundle, ForgetSet]:
    sd = _model(case)
    return sd, make_sets(sd.denoiser, case.rows * (case.steps + 1), TOKENS[case.size])[0]


def _room(case: Case, sd: Bundle) -> tuple[int, str]:
    """Images in one pass of the saliency, as the free memory allows, and what was decided."""
    parameters = list(case.trained(sd.denoiser).values())
    at_once, again = plan_saliency(
        sd.denoiser, parameters=parameters, batch_size=case.rows, guided=True, free=case.free
    )
    if again:
        sd.denoiser.enable_gradient_checkpointing()
    return at_once, "activations recomputed" if again else ""


def _batches(case: Case, sd: Bundle, forget: ForgetSet, rows: int) -> Iterator[NoisyBatch]:
    """Noised images without end, on the device."""
    generator, places = torch.Generator().manual_seed(0), torch.arange(rows) % len(forget)
    scale = sd.vae.config["scaling_factor"]
    while True:
        yield add_noise(sd.schedule, scale, forget, places, generator).to(case.device)


def _inputs(case: Case, sd: Bundle, rows: int) -> tuple[Tensor, Tensor, Conditioning]:
    """What a UNet is called with, on the device and in the case's type."""
    generator, side = torch.Generator().manual_seed(0), sd.denoiser.config["sample_size"]
    latents = torch.randn(rows, 4, side, side, generator=generator)
    told = make_conditioning(sd.denoiser, rows, TOKENS[case.size], generator)
    timesteps = torch.full((rows,), 500, device=case.device)
    return latents.to(case.device, case.dtype), timesteps, told.to(case.device).to(case.dtype)


def _aim(model: UnderAttack, sd: Bundle, folder: Path) -> Aim:
    """Pictures of noise; the published form of the attack looks at nothing else."""
    return Aim(
        name="church",
        words="church",
        templates=("an image of a {}", "a picture of a {}"),
        prompts=(),
        probes=(),
        pairs=(),
        images=tuple(make_pictures(folder, 4, sd.native_size)),
        captions=(),
        others=(),
        other_captions=(),
        original=model,
    )


def _prompts(count: int) -> list[str]:
    return [f"an image of a church, number {i}" for i in range(count)]
