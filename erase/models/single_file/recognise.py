"""A whole Stable Diffusion in one `.safetensors` or `.ckpt` file, in the original (LDM) layout.

What such a file is, what it predicts, and where the configs and the tokenizer that it lacks are.
Nothing here reads more than a file's names and shapes, and nothing asks a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from erase.diffusion.scheduler_config import prediction_type_of, read_scheduler
from erase.models.architectures.architecture import Architecture
from erase.models.architectures.families import SD1, SD2, SDXL, VAE_PREFIX, Family
from erase.models.architectures.known import of_single_file
from erase.models.folder_check import check_part
from erase.models.hub import CONFIGS, cached_snapshot
from erase.models.model_source import INDEX, ModelSource
from erase.models.part_weights import settings_files
from erase.models.single_file.unet_keys import UNET_PREFIX
from erase.tensors.kinds import kind_of
from erase.tensors.quantised import quantised
from erase.tensors.weight_files import Spec, Weights
from plumbing.errors import UsageError
from plumbing.whole_files import sha256_file

Specs = Mapping[str, Spec]

_FIRST = f"{UNET_PREFIX}input_blocks.0.0.weight"
_LAST = f"{UNET_PREFIX}out.2.weight"
_COMPANIONS = (VAE_PREFIX, "cond_stage_model.", "conditioner.")
"""What a whole model has beside its UNet."""
_MORE_INPUTS = {5: "a depth", 7: "an upscaling", 8: "an InstructPix2Pix", 9: "an inpainting"}
_PREDICTIONS = {"epsilon": "epsilon", "eps": "epsilon", "v": "v_prediction"}
_PREDICTIONS |= {"v_prediction": "v_prediction", "v-prediction": "v_prediction"}


@dataclass(frozen=True)
class SingleFile:
    """A file that is a text-to-image Stable Diffusion 1.x, 2.x or XL, and what goes with it."""

    path: Path
    family: Family
    tensors: Weights
    folder: Path
    """Where its configs and its tokenizer are."""
    prediction_type: str

    @property
    def architecture(self) -> Architecture:
        """What it is one of."""
        return of_single_file(self.family)


def open_single_file(
    path: Path, *, config: Path | None = None, prediction_type: str | None = None
) -> SingleFile:
    """Recognise a file by its names and shapes; any other than SD 1.x, 2.x or XL: UsageError.

    So is one whose configs (`config`, else the hub's cache) are missing, and one that could
    predict noise as well as v.
    """
    if not path.is_file():
        raise UsageError(f"--model {path}: no such file")
    tensors = Weights([path])
    family = recognise(path, tensors.specs, tensors.metadata)
    folder = _find_configs(path, family, config)
    for part in of_single_file(family).parts:
        check_part(str(path), folder / part)
    scheduler = read_scheduler(folder)
    if "ztsnr" in tensors.specs and not scheduler.get("rescale_betas_zero_snr"):
        raise UsageError(
            f"--model {path}: was trained to zero terminal SNR (it has the key ztsnr); give a "
            '--config FOLDER whose scheduler, a DDIMScheduler, has "rescale_betas_zero_snr": true'
        )
    told = prediction_type or told_prediction(path, tensors.specs, tensors.metadata)
    if told is None and (config is not None or family.choices is None):
        told = prediction_type_of(scheduler)
    if told is None:
        raise UsageError(
            f"--model {path}: this {family.title} file does not tell what it predicts; "
            f"add --prediction-type {family.choices}"
        )
    return SingleFile(path, family, tensors, folder, told)


def locate_single_file(path: Path, config: Path | None, prediction_type: str | None) -> ModelSource:
    """Where a file's model is from: its own hash, and those of the configs and the tokenizer."""
    file = open_single_file(path, config=config, prediction_type=prediction_type)
    small = [
        place
        for part in file.architecture.parts
        for place in settings_files(file.folder / part, file.architecture.layout(part))
    ]
    # SDXL's index tells what stands for no prompt, and so what is drawn.
    if file.architecture.index_settings and (file.folder / INDEX).is_file():
        small.append(file.folder / INDEX)
    files = {place.relative_to(file.folder).as_posix(): sha256_file(place) for place in small}
    return ModelSource(
        id=str(path.resolve()),
        revision=None,
        files={path.name: sha256_file(path), **files},
        folder=file.folder,
        architecture=file.architecture,
        single_file=path.resolve(),
        prediction_type=file.prediction_type,
    )


def recognise(path: Path, specs: Specs, metadata: Mapping[str, str] | None = None) -> Family:
    """SD 1.x, 2.x or XL by a file's names and shapes; anything else is refused by its name."""
    if strange := _other_kind(specs):
        raise UsageError(
            f"--model {path}: this is {strange}; single files are read of text-to-image "
            "Stable Diffusion 1.x, 2.x and XL"
        )
    if not (_has_unet(specs) and _has(specs, *_COMPANIONS)):
        raise UsageError(f"--model {path}: this is {_no_model(path, specs, metadata)}")
    older = SD2 if _has(specs, *SD2.text.values()) else SD1
    family = SDXL if _is_xl(specs) else older
    for what, prefix in {**family.text, "autoencoder": VAE_PREFIX}.items():
        if not _has(specs, prefix):
            raise UsageError(
                f"--model {path}: has no {what.replace('_', ' ')} (no {prefix}*); "
                "get the model's whole file"
            )
    return family


def _is_xl(specs: Specs) -> bool:
    return _has(specs, "conditioner.", f"{UNET_PREFIX}label_emb.")


def _has_unet(specs: Specs) -> bool:
    first, last = specs.get(_FIRST), specs.get(_LAST)
    return first is not None and last is not None and len(first.shape) > 1 and bool(last.shape)


def _no_model(path: Path, specs: Specs, metadata: Mapping[str, str] | None) -> str:
    """What a file without a whole model is, and what to do."""
    told = kind_of(specs, metadata)
    if told is None:
        return f"no Stable Diffusion known here (no {_FIRST}); get the model's whole file"
    home = path.resolve().parent.parent
    remedy = f"give {home}, its model" if (home / INDEX).is_file() else told.remedy
    return f"{told.what}; {remedy}"


def _other_kind(specs: Specs) -> str | None:
    """What a file is if not a text-to-image SD 1.x, 2.x or XL; None if it may be one."""
    whole = not any("lora" in name for name in specs)
    if whole and _has(specs, f"{UNET_PREFIX}double_blocks.", "double_blocks."):
        return "a FLUX model"
    if whole and _has(specs, f"{UNET_PREFIX}joint_blocks.", "joint_blocks."):
        return "a Stable Diffusion 3 model"
    if not _has_unet(specs):
        return None
    first, last = specs[_FIRST], specs[_LAST]
    if (how := quantised(specs)) or not first.dtype.is_floating_point:
        return f"a model {how or 'quantised to integers'}, too coarse to be erased from"
    more = first.shape[1] != last.shape[0]
    kind = _MORE_INPUTS.get(first.shape[1], "an image-guided") if more else None
    if _has(specs, "conditioner.embedders.0.model."):
        return "an SDXL refiner"
    if _has(specs, "edm_mean", "edm_vpred."):
        return "an SDXL with EDM's noise levels (such as Playground 2.5 and CosXL)"
    if _is_xl(specs) and _has(specs, "cond_stage_model."):
        return "an unCLIP model"
    name = "SDXL model" if _is_xl(specs) else "model"
    return kind and f"{kind} {name} (its UNet takes {first.shape[1]} channels)"


def _has(specs: Iterable[str], *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in specs)


def told_prediction(path: Path, specs: Specs, metadata: Mapping[str, str]) -> str | None:
    """What a file itself says that it predicts; None if nothing, UsageError if two things."""
    said = metadata.get("modelspec.prediction_type")
    told = None if said is None else _PREDICTIONS.get(said.strip().lower())
    if said is not None and told is None:
        raise UsageError(
            f"--model {path}: its metadata says prediction type {said!r}, which is not known "
            "here; add --prediction-type epsilon or v_prediction"
        )
    if "v_pred" in specs and told == "epsilon":
        raise UsageError(
            f"--model {path}: its metadata says epsilon, its key v_pred the contrary; "
            "add --prediction-type epsilon or v_prediction"
        )
    return "v_prediction" if "v_pred" in specs else told


def _find_configs(path: Path, family: Family, config: Path | None) -> Path:
    """The folder with the file's configs and tokenizer, complete."""
    repos = CONFIGS[family.name]
    fetch = f"hf download {repos[0]} --include '*.json' --include '*.txt' --local-dir FOLDER"
    if config is not None:
        if missing := _missing(config, family):
            raise UsageError(
                f"--config {config}: lacks {', '.join(missing)}; give a diffusers folder of the "
                f"same architecture, or get its small files: `{fetch}`"
            )
        return config.resolve()
    for folder in filter(None, map(cached_snapshot, repos)):
        if not _missing(folder, family):
            return folder
    needed = ", ".join(name for part in of_single_file(family).parts for name in _needed(part))
    raise UsageError(
        f"--model {path}: has no configs and no tokenizer in it ({needed}), and the hub's cache "
        f"has none; get them once: `{fetch}`, and add --config FOLDER"
    )


def _missing(folder: Path, family: Family) -> list[str]:
    return [
        name
        for part in of_single_file(family).parts
        if not (folder / part / "tokenizer.json").is_file()
        for name in _needed(part)
        if not (folder / name).is_file()
    ]


def _needed(part: str) -> tuple[str, ...]:
    """The small files without which a part is not there."""
    if part.startswith("tokenizer"):
        return f"{part}/vocab.json", f"{part}/merges.txt"
    return (f"{part}/{'scheduler_' if part == 'scheduler' else ''}config.json",)
