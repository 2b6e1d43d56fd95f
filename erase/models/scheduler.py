"""The only loader of schedulers: how a model was taught to denoise, whatever it is drawn with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from inspect import signature
from typing import Any

from diffusers import schedulers
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.utils.import_utils import DummyObject

from erase.diffusion.scheduler_config import NOISE, read_scheduler
from erase.models.model_source import INDEX, ModelSource
from plumbing.errors import UsageError
from plumbing.json_file import read_object

log = logging.getLogger(__name__)
_ALIKE = {
    "LMSDiscreteScheduler": "EulerDiscreteScheduler",
    "DPMSolverSDEScheduler": "HeunDiscreteScheduler",
}
"""Those that need packages of their own to draw with, and one whose noise is the same by itself."""
_DISTILLED = ("LCMScheduler", "TCDScheduler")
_OF_ALL = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""The `beta_schedule`s that every sampler knows."""


def load_scheduler(source: ModelSource) -> Any:
    """What a model was taught to denoise by; one that its architecture cannot have: UsageError.

    One with betas becomes diffusers' DDPM scheduler, whatever it draws with: that needs no package
    of its own and knows every schedule. Its `config` has all that the model's says.
    """
    told = read_scheduler(source.folder)
    if told.get("_class_name") is None:
        told["_class_name"] = _class_in_index(source)
    if source.prediction_type:
        told["prediction_type"] = source.prediction_type
    name = str(told["_class_name"])
    if refused := source.architecture.refuse_scheduler(told):
        raise UsageError(
            f"--model {source.id}: {refused}; expunge erases from those that predict epsilon or "
            "v_prediction on a noise schedule of betas"
        )
    kind = getattr(schedulers, _ALIKE.get(name, name), None) if name.isidentifier() else None
    if isinstance(kind, DummyObject):
        raise ValueError(f"{name} needs {' and '.join(kind._backends or ())}; install it")
    if not isinstance(kind, type) or not issubclass(kind, source.architecture.kind("scheduler")):
        raise ValueError(f"{name[:80]!r} is not a scheduler of diffusers")
    own = signature(kind.__init__).parameters
    if not {"beta_start", "trained_betas"} <= own.keys():
        return kind.from_config(told)
    if name in _DISTILLED:
        log.warning(
            "%s is of a model that was distilled to draw in a few steps: try --inference-steps 8 "
            "--guidance-scale 1 (of evaluations --steps 8)",
            name,
        )
    usual = {**signature(DDPMScheduler.__init__).parameters, **own}
    noise = {key: usual[key].default if told.get(key) is None else told[key] for key in NOISE}
    return _ddpm(noise, told)


def _class_in_index(source: ModelSource) -> Any:
    """The scheduler's class as the model's index has it, for a config that does not say."""
    index = source.folder / INDEX
    named = read_object(index).get("scheduler") if index.is_file() else None
    return named[-1] if isinstance(named, list) and named else None


def _ddpm(noise: dict[str, Any], told: Mapping[str, Any]) -> DDPMScheduler:
    _require_sense(noise)
    betas = noise["trained_betas"]
    if betas is not None and len(betas) != noise["num_train_timesteps"]:
        if told.get("num_train_timesteps") is not None:
            raise ValueError(
                f"it has {len(betas)} trained_betas for {noise['num_train_timesteps']} timesteps"
            )
        noise["num_train_timesteps"] = len(betas)
    if betas is None and noise["beta_schedule"] not in _OF_ALL:
        plain = DDPMScheduler(**{**noise, "rescale_betas_zero_snr": False})
        noise["trained_betas"] = plain.betas.tolist()
    scheduler = DDPMScheduler(**noise)
    # What DDPM draws with by itself is not what the model says.
    unsaid = [k for k in scheduler.config["_use_default_values"] if k not in {**told, **noise}]
    scheduler.register_to_config(**{**told, **noise, "_use_default_values": unsaid})
    return scheduler


def _require_sense(noise: Mapping[str, Any]) -> None:
    """ValueError for a value of another type than diffusers' schedulers take."""
    kinds = {
        "num_train_timesteps": (int,),
        "beta_start": (int, float),
        "beta_end": (int, float),
        "beta_schedule": (str,),
        "trained_betas": (list, type(None)),
        "prediction_type": (str,),
        "rescale_betas_zero_snr": (bool,),
    }
    for key, value in noise.items():
        numbers = value if isinstance(value, list) else []
        if type(value) not in kinds[key] or any(type(n) not in (int, float) for n in numbers):
            raise ValueError(f"its {key} is {str(value)[:40]!r}")
    if noise["num_train_timesteps"] < 1 or noise["trained_betas"] == []:
        raise ValueError("it has no timesteps")
