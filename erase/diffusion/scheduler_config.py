"""What a model's scheduler_config.json says of its noise, and of which kind of model it is.

Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plumbing.errors import UsageError
from plumbing.json_file import read_object

NOISE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
"""What settles how a model was taught to denoise; all else in a config is how to draw with it."""
_KINDS = {
    "Flow|Helios|LTXEuler|MiniMax|Piflow|Proteina": "a flow-matching model",
    "^EDM|^CosineDPM": "an EDM model",
    "^SCM|^CMStochastic|^ConsistencyDecoder": "a consistency model",
    "^ScoreSde|^KarrasVe": "a score-SDE model",
    "^VQDiffusion|^Amused|^BlockRefinement|^DiscreteDDIM|^EntropyBound": "a model of tokens",
    "^CogVideoX": "a video model",
    "^UnCLIP|Wuerstchen|^IPNDM": "another model than Stable Diffusion",
}
"""Schedulers of diffusers that have no noise schedule of betas, or another than their betas say."""


def read_scheduler(folder: Path) -> dict[str, Any]:
    """The scheduler_config.json of a model's folder; unreadable is a UsageError."""
    place = folder / "scheduler" / "scheduler_config.json"
    try:
        return read_object(place)
    except (OSError, ValueError) as error:
        raise UsageError(f"{place}: cannot be read ({error}); get it anew") from error


def prediction_type_of(scheduler: Mapping[str, Any]) -> str:
    """What a model predicts by its scheduler's config: noise, unless it says otherwise."""
    told = scheduler.get("prediction_type")
    return "epsilon" if told is None else str(told)


def require_steps(folder: Path, steps: int, flag: str) -> None:
    """Refuse, as a UsageError, more steps of sampling than a model has timesteps for.

    Stable Diffusion's samplers begin one timestep late, so that the last cannot be a step.
    """
    told = read_scheduler(folder)
    betas, count = told.get("trained_betas"), told.get("num_train_timesteps")
    taught = len(betas) if isinstance(betas, list) and count is None else count
    if isinstance(taught, int) and steps >= taught > 1:
        raise UsageError(
            f"{flag} {steps}: this model was taught {taught} timesteps; give {taught - 1} or fewer"
        )


def other_kind(scheduler: Mapping[str, Any]) -> str | None:
    """Why a Stable Diffusion cannot have this scheduler (its config names its class); or None."""
    name = str(scheduler.get("_class_name"))
    kind = next((what for words, what in _KINDS.items() if re.search(words, name)), None)
    if kind:
        return f"its scheduler ({name}) is of {kind}"
    if scheduler.get("use_flow_sigmas") or "flow" in prediction_type_of(scheduler):
        told = "use_flow_sigmas" if scheduler.get("use_flow_sigmas") else "prediction_type"
        return f"its scheduler's {told} is of a flow-matching model"
    return None
