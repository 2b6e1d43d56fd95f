"""Where a model is, what it is made of, and whether it is of a family that can be erased from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from erase.models.folder_check import check_index, check_part, require_own
from erase.models.hub import fetch_index, fetch_pipeline, looks_like_hub_id, unknown_model
from erase.models.model_source import INDEX, MINIATURE, PARTS, XL_PARTS, ModelSource, variant_of
from erase.run_folder.folder import is_run, read_run
from erase.run_folder.record import Base
from plumbing.errors import UsageError
from plumbing.json_file import read_object
from plumbing.whole_files import sha256_file

_FAMILIES = {
    "StableDiffusionPipeline": PARTS,
    "StableDiffusionImg2ImgPipeline": PARTS,
    "StableDiffusionXLPipeline": XL_PARTS,
    "StableDiffusionXLImg2ImgPipeline": XL_PARTS,
}
_SUPPORTED = "expunge erases from text-to-image Stable Diffusion 1.x, 2.x and XL"


def locate(
    model: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    config: str | Path | None = None,
    prediction_type: str | None = None,
) -> ModelSource:
    """Find a model and hash its files without loading it; downloads it if `model` is a hub id.

    `model` is `miniature`, a diffusers folder, a run folder, a hub id, or one file, which `config`
    and `prediction_type` then tell of; anything else, and any model that is not a text-to-image
    Stable Diffusion 1.x, 2.x or XL, is a UsageError.
    """
    path = Path(model)
    if is_single_file(model):
        # It reads tensors, so it needs torch, which this module does without.
        from erase.models.single_file.recognise import locate_single_file

        return locate_single_file(path, Path(config) if config else None, prediction_type)
    for flag, value in (("--config", config), ("--prediction-type", prediction_type)):
        if value is not None:
            raise UsageError(
                f"{flag} {value}: goes with a single .safetensors or .ckpt file; "
                f"{model} has configs of its own"
            )
    if model != "miniature" and is_run(path):
        return _locate_run(path, variant)
    if model == "miniature":
        folder, revision = MINIATURE, None
    elif path.is_dir():
        folder, revision = path.resolve(), None
    elif looks_like_hub_id(model):
        _check_family(model, fetch_index(model, revision))
        folder, revision = fetch_pipeline(model, revision, variant)
    else:
        raise unknown_model(model)
    parts = _check_folder(model, folder)
    name = str(folder) if path.is_dir() and model != "miniature" else model
    return ModelSource(name, revision, _hash_files(folder, parts, variant), folder, variant)


def is_single_file(model: str) -> bool:
    """Whether `locate` takes this for one file with a whole model, there or not."""
    path = Path(model)
    return path.suffix in (".safetensors", ".ckpt") and not path.is_dir()


def locate_recorded(base: Base, *, variant: str | None = None) -> ModelSource:
    """Find the model that a run.json's `base` tells of, wherever it is from; see `locate`."""
    return locate(
        base.id,
        revision=base.revision,
        variant=variant or base.variant,
        config=base.config,
        prediction_type=base.prediction_type,
    )


def native_size(source: ModelSource) -> tuple[int, int]:
    """(width, height) in pixels that the model's UNet was made for, read without its weights."""
    unet = _read_json((source.unet or source.folder / "unet") / "config.json", source.id)[
        "sample_size"
    ]
    vae = _read_json(source.folder / "vae" / "config.json", source.id)
    scale = 2 ** (len(vae["block_out_channels"]) - 1)
    height, width = (unet, unet) if isinstance(unet, int) else unet
    return width * scale, height * scale


def _read_json(path: Path, model: str) -> dict[str, Any]:
    """A JSON object that a model's folder must have; a UsageError names the file."""
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        place = path.relative_to(path.parents[1])
        raise UsageError(
            f"--model {model}: {place} cannot be read ({error}); get it anew"
        ) from error


def _locate_run(path: Path, variant: str | None) -> ModelSource:
    record = read_run(path, "base")
    base = record.base
    unet = path.resolve() / "unet"
    if not record.finished or not (unet / "config.json").is_file():
        raise UsageError(
            f"--model {path}: this run has no erased UNet yet; finish it with its `erase`"
        )
    source = locate_recorded(base, variant=variant)
    if source.digest != base.digest:
        raise UsageError(
            f"--model {path}: its base model {base.id} is not the one that was erased "
            f"(digest {source.digest[:12]}, expected {base.digest[:12]}); restore that model"
        )
    kept = {name: sha for name, sha in source.files.items() if not name.startswith("unet/")}
    erased = {f"unet/{file.name}": sha256_file(file) for file in sorted(unet.iterdir())}
    wrong = [name for name, sha in erased.items() if record.weights.get(name, sha) != sha]
    if wrong:
        raise UsageError(
            f"--model {path}: {wrong[0]} is not what the run wrote; see `expunge verify {path}`, "
            "and make it again with its `erase` and --overwrite"
        )
    return replace(source, id=str(path.resolve()), revision=None, files=kept | erased, unet=unet)


def _check_folder(model: str, folder: Path) -> tuple[str, ...]:
    """The parts that a folder of its family has; a folder that lacks one is a UsageError."""
    index = folder / INDEX
    if not index.is_file():
        raise UsageError(
            f"--model {model}: {folder.name}/ has no model_index.json and no run.json; "
            "give a diffusers pipeline folder or a run folder"
        )
    told = _read_json(index, model)
    parts = _check_family(model, told)
    check_index(model, told)
    missing = [part for part in parts if not (folder / part).is_dir()]
    if missing:
        raise UsageError(
            f"--model {model}: the folder lacks {', '.join(missing)}; download it whole"
        )
    for part in parts:
        check_part(model, folder / part)
    unet = _read_json(folder / "unet" / "config.json", model)
    # Noise goes in and a prediction of its size comes out; whatever else goes in is a picture.
    if unet.get("in_channels", 4) != unet.get("out_channels", 4):
        raise UsageError(
            f"--model {model}: its UNet takes {unet['in_channels']} channels (an inpainting or "
            f"depth model); {_SUPPORTED}"
        )
    return parts


def _check_family(model: str, index: dict[str, Any]) -> tuple[str, ...]:
    """The parts of a pipeline's family; one that is not supported is a UsageError."""
    family = index.get("_class_name")
    if not isinstance(family, str) or family not in _FAMILIES:
        raise UsageError(f"--model {model}: a {family} is not supported; {_SUPPORTED}")
    parts = _FAMILIES[family]
    encoder = index.get("text_encoder")
    if parts is XL_PARTS and not (isinstance(encoder, list) and any(encoder)):
        raise UsageError(
            f"--model {model}: an SDXL refiner, which finishes another's images; {_SUPPORTED}"
        )
    return parts


def _weight_files(folder: Path, variant: str | None) -> list[Path]:
    found = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    chosen = variant_of(folder, variant)
    # A name is stem.suffix or stem.variant.suffix; a shard's number is part of the stem.
    return [
        file for file in found if (file.suffixes[:-1] or [None])[-1] == (chosen and f".{chosen}")
    ]


def _hash_files(folder: Path, parts: tuple[str, ...], variant: str | None) -> dict[str, str]:
    # SDXL's index tells what stands for no prompt, and so what is drawn.
    files = [folder / INDEX] if parts is XL_PARTS else []
    for part in parts:
        small = [
            file for file in sorted((folder / part).iterdir()) if file.suffix in (".json", ".txt")
        ]
        for file in small:
            require_own(folder, file)
        files += small
        files += _weight_files(folder / part, variant)
    return {file.relative_to(folder).as_posix(): sha256_file(file) for file in files}
