"""How far a model is from Retrain, whose training never saw the concept: what all should reach.

Two distances over the images of one evaluation, for the concept's prompts (`forget`) and all others
(`kept`) apart. Nought is Retrain itself; the original's own distance is told beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from erase.models.checkpoint import load_checkpoint
from eval.concept.scores import JUDGEMENTS, Judgement
from eval.generation.image_log import image_path, read_generations
from eval.judges.clip import Clip
from eval.metrics.distances import cmmd, mean
from eval.metrics.schema import Metric
from expunge.evaluations.under_attack import UnderAttack
from plumbing.json_file import parse
from plumbing.record import parse_record

SPLITS = ("forget", "kept")
PROBED = 32
"""Images of either split whose predictions are compared."""
LEVELS = 8
"""Timesteps at which they are noised, spread evenly."""
TIMESTEPS = 1000
"""Of the model's schedule."""
AT_ONCE = 16
SEED = 0


@dataclass(frozen=True)
class Probe:
    """Noised images of the original and their prompts, the same for every model."""

    prompts: Mapping[str, Sequence[str]]
    """By split, one an image."""
    noisy_latents: Mapping[str, Tensor]
    """By split, [LEVELS, N, C, h, w]."""
    timesteps: Tensor
    """[LEVELS]."""


def image_distance(row: Path, retrain: Path, clip: Clip) -> dict[str, Metric]:
    """CMMD by split between two models' images of the same prompts and seeds.

    `row` and `retrain` hold `images/` as an evaluation of a concept draws them, in `erased/`; its
    `judgements.jsonl` lies beside that.
    """
    found = {}
    for split, ids in _splits(row.parent).items():
        features = [
            clip.image_features([image_path(out, i) for i in ids]) for out in (row, retrain)
        ]
        found[split] = cmmd(*features, paired=True)
    return found


def make_probe(original: UnderAttack, evaluation: Path) -> Probe:
    """From the original's images in an evaluation of the concept, noised on a fixed seed."""
    drawn = read_generations(evaluation / "original")
    generator = torch.Generator().manual_seed(SEED)
    timesteps = ((torch.arange(LEVELS) + 0.5) * TIMESTEPS / LEVELS).long()
    prompts, noisy = {}, {}
    for split, ids in _splits(evaluation).items():
        # Spread over the split, which is in the order of its prompts.
        chosen = ids[:: max(1, len(ids) // PROBED)][:PROBED]
        prompts[split] = [drawn[i].prompt for i in chosen]
        latents = original.latents([image_path(evaluation / "original", i) for i in chosen])
        noisy[split] = torch.stack(
            [
                original.add_noise(
                    latents, torch.randn(latents.shape, generator=generator), t.expand(len(chosen))
                )
                for t in timesteps
            ]
        )
    return Probe(prompts, noisy, timesteps)


@torch.no_grad()
def predictions(model: UnderAttack, probe: Probe) -> dict[str, Tensor]:
    """What a model predicts of a probe, by split [LEVELS, N, C, h, w]."""
    found = {}
    for split, prompts in probe.prompts.items():
        told = model.encode(prompts)
        said = [
            torch.cat(
                [
                    model.predict(part, t.expand(len(part)), told[i : i + AT_ONCE])
                    for i, part in _parts(noisy)
                ]
            )
            for t, noisy in zip(probe.timesteps, probe.noisy_latents[split], strict=True)
        ]
        found[split] = torch.stack(said)
    return found


def prediction_distance(
    row: Mapping[str, Tensor], retrain: Mapping[str, Tensor], original: Mapping[str, Tensor]
) -> dict[str, Metric]:
    """|eps_row - eps_retrain|^2 over the original's mean of the same, in %, by split.

    A mean over images with Student's interval; 100 is as far as the original. The part of it that
    two trainings of one model differ by is in all of them, so 0 cannot be reached.
    """
    found = {}
    for split in row:
        away = _per_image(row[split], retrain[split])
        found[split] = mean(
            (100 * away / _per_image(original[split], retrain[split]).mean()).numpy()
        )
    return found


def load(model: str | Path) -> UnderAttack:
    """A model in float32 on the CPU."""
    bundle = load_checkpoint(str(model), device="cpu", dtype="float32")
    return UnderAttack(bundle, sha256="", steps=1, guidance=1.0, lr=None)


def _parts(latents: Tensor) -> list[tuple[int, Tensor]]:
    return [(i, latents[i : i + AT_ONCE]) for i in range(0, len(latents), AT_ONCE)]


def _per_image(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each image over its timesteps, [N]."""
    return (a - b).square().mean(dim=(0, 2, 3, 4))


def _splits(evaluation: Path) -> dict[str, list[str]]:
    """The ids of the concept's prompts, and of all others, in order."""
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for line in (evaluation / JUDGEMENTS).read_text().splitlines():
        one = parse_record(Judgement, parse(line))
        ids = found["forget" if one.split == "forget" else "kept"]
        if one.id not in ids:
            ids.append(one.id)
    return found
