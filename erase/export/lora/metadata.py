"""What a LoRA file tells of itself: to interfaces, to PEFT, and to `expunge apply`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from erase.diffusion.scheduler_config import prediction_type_of, read_scheduler
from erase.export.lora.make import Lora
from erase.export.single_file_base import family_of
from erase.models.architectures.families import Family
from erase.models.erased_run import ErasedRun
from erase.models.model_source import ModelSource

FORMAT = "1"
_SGM = "https://github.com/Stability-AI/generative-models"
_VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
"""What kohya's scripts call each family."""


def describe_lora(
    lora: Lora, run: ErasedRun, source: ModelSource, told: Mapping[str, str]
) -> dict[str, str]:
    """The file's metadata; `told` is what the command alone knows, without `expunge.`."""
    own = run.weights.metadata
    title = own.get("modelspec.title") or f"without {run.concept}"
    family = family_of(source) if source.architecture.single_files else None
    header = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": f"{title} (LoRA)",
        **({"modelspec.architecture": _lora_of(family, source)} if family else {}),
        "modelspec.implementation": "diffusers" if lora.naming == "diffusers" else _SGM,
        "modelspec.description": f"{run.concept} erased by expunge, as a LoRA",
        "expunge.format": "lora",
        "expunge.version": FORMAT,
        "expunge.naming": lora.naming,
        "expunge.concept": run.concept,
        "expunge.method": str(run.record.method),
        "expunge.base": source.digest,
        "expunge.residual": f"{lora.residual:.6g}",
        "expunge.left_out": str(lora.left_out.weights),
    }
    header |= {f"expunge.{key}": value for key, value in told.items()}
    if lora.naming == "kohya" and family:
        return header | _for_kohya(lora, family)
    return header | _for_peft(lora, run.denoiser)


def _for_kohya(lora: Lora, family: Family) -> dict[str, str]:
    """What kohya's scripts write and interfaces sort LoRAs by."""
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(lora.alpha),
        "ss_network_alpha": str(float(lora.alpha)),
        "ss_base_model_version": _VERSIONS[family.name],
        "ss_v2": str(family.name == "sd2"),
    }


def _for_peft(lora: Lora, denoiser: str) -> dict[str, str]:
    """The adapter's settings: versions of diffusers that guess them scale some ranks wrongly."""
    modules = {n.removesuffix(".weight"): factors.rank for n, factors in lora.factors.items()}
    others = {f"^{name}": rank for name, rank in modules.items() if rank != lora.alpha}
    settings = {
        f"{denoiser}.r": lora.alpha,
        f"{denoiser}.lora_alpha": lora.alpha,
        f"{denoiser}.rank_pattern": others,
        f"{denoiser}.alpha_pattern": others,
        f"{denoiser}.target_modules": sorted(modules),
    }
    return {"lora_adapter_metadata": json.dumps(settings, sort_keys=True)}


def _lora_of(family: Family, source: ModelSource) -> str:
    return f"{family.architectures[_prediction_type(source)]}/lora"


def _prediction_type(source: ModelSource) -> str:
    if source.prediction_type:
        return source.prediction_type
    return prediction_type_of(read_scheduler(source.folder))
