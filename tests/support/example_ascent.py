"""A trained method that only the tests know: gradient ascent on the forget set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from erase.image_sets.datasets import ForgetSet, RetainSet
from erase.methods.method import Trained
from erase.models.bundle import Bundle
from erase.training.batches import Draw, draw_steps
from erase.training.loop import Kit, train
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow
from erase.training.teacher import Target
from expunge.settings.groups import shown
from expunge.settings.methods import MethodEntry
from expunge.settings.salun import DEFAULTS
from expunge.settings.training import Training, TrainingFlags


@dataclass(frozen=True)
class AscentFlags(TrainingFlags):
    """How the error on the concept is raised."""

    push: Annotated[float | None, shown("FLOAT", 0.5)] = None
    """Weight of the error."""


@dataclass(frozen=True)
class Ascent(Training):
    """The same, settled."""

    push: float


def erase(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    mask: Mapping[str, Tensor],
    forget: ForgetSet,
    retain: RetainSet,
    kit: Kit,
    *,
    steps: int,
    lr: float,
    batch_size: int,
    push: float,
    seed: int,
) -> tuple[list[StepRow], MaskedOptimizer]:
    """Train on -push * MSE(noise, prediction) of the forget set."""
    schedule, scale = sd.schedule, sd.vae.config["scaling_factor"]

    def draws() -> Iterator[Draw]:
        return draw_steps(
            schedule, scale, forget, retain, steps=steps, batch_size=batch_size, seed=seed
        )

    def losses(
        student: Any, draw: Draw, rows: slice, _: Target
    ) -> tuple[Tensor, dict[str, Tensor]]:
        part = draw.forget[rows].to(student.device)
        share = len(part) / batch_size
        rise = -push * share * mse_loss(kit.predict(student, part), part.target)
        return rise, {"rise": rise}

    return train(
        kit, sd.unet, parameters, mask, draws, losses, batch_size=batch_size, lr=lambda step: lr
    )


METHOD = Trained("gradient ascent", erase)
ENTRY = MethodEntry(
    "support.example_ascent",
    AscentFlags,
    Ascent,
    DEFAULTS | {"push": 0.5},
    {"ascent-hard": {"push": 2.0, "lr": 1e-3}},
)
