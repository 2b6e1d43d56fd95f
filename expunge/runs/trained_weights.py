"""The weights that a training leaves, written with their story."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from erase.diffusion.noise_schedule import NoiseSchedule
from erase.export.unet import write_unet
from erase.models.single_file.families import unet_architecture
from erase.models.unet_files import unet_weights
from erase.tensors.weight_files import Computed, Spec
from expunge.runs.job import Job
from expunge.runs.train import Trained
from plumbing.privacy import public


def write_weights(job: Job, trained: Trained) -> None:
    """The base's own weights in float32, with the trained ones in their places."""
    base, optimizer = unet_weights(job.plan.source), trained.optimizer
    write_unet(
        Computed(
            {name: Spec(torch.float32, spec.shape) for name, spec in base.specs.items()},
            lambda name: optimizer.merged(name, base[name]) if optimizer else base[name].float(),
        ),
        json.loads(job.sd.unet.to_json_string()),
        job.plan.out / "unet",
        _metadata(job),
    )


def _metadata(job: Job) -> dict[str, str]:
    plan = job.plan
    predicted = NoiseSchedule.of(job.sd.scheduler).prediction_type
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": f"{Path(plan.source.id).name} without {plan.concept.name}",
        "modelspec.architecture": unet_architecture(job.sd.unet.config, predicted),
        "modelspec.implementation": "diffusers",
        "modelspec.description": f"{plan.concept.name} erased with SalUn by expunge",
        "expunge.concept": plan.concept.name,
        "expunge.method": "salun",
        "expunge.base": plan.source.digest,
        "expunge.config": json.dumps(public(plan.identity["config"]), sort_keys=True),
        "expunge.seed": str(job.settings.seed),
    }
