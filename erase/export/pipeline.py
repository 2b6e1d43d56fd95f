"""A whole model as a folder that plain diffusers opens: another's parts around erased weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from erase.export.copied_files import Copied, copied_beside, copied_part, is_hollow
from erase.export.denoiser import write_denoiser_files
from erase.models.denoiser_files import OpenedDenoiser
from erase.models.folder_check import require_own
from erase.models.hub import RECOMMENDED
from erase.models.model_source import ModelSource
from erase.tensors.weight_files import Computed, Weights
from plumbing.errors import UsageError
from plumbing.json_file import read_object
from plumbing.privacy import public, published
from plumbing.whole_files import sha256_file

INDEX = "model_index.json"
_OWN_JUDGES = ("judge", "clip")
"""What a model may ship for being measured; diffusers passes it over."""


def write_pipeline(
    weights: Computed | Weights,
    config: Mapping[str, Any],
    metadata: Mapping[str, str],
    source: ModelSource,
    folder: Path,
) -> None:
    """Write the denoiser, and copy all else of `source` byte for byte, without a variant's name.

    Of each part that is what is read of it, and nothing that lies beside. But a config that tells
    where the model lay no longer does; what is code is left out. Its pipeline's
    `from_pretrained(folder)` opens it. `folder` must not exist, and is left half-written if
    something fails.
    """
    if source.single_file is not None:
        raise UsageError(
            f"{source.id}: a single file has no parts to copy into a folder; "
            "use --format unet, or give a UNet's folder"
        )
    folder.mkdir(parents=True)
    own = source.architecture.denoiser
    write_denoiser_files(weights, config, folder / own, metadata)
    index = _read_index(source)
    parts = sorted(name for name in _components(index) if _is_there(source, name, index))
    for copied in _files(source, index, [part for part in parts if part != own]):
        place = folder / copied.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if copied.content is not None:
            place.write_bytes(copied.content)
            continue
        shutil.copyfile(copied.file, place)
        known = source.files.get(copied.file.relative_to(source.folder).as_posix())
        if sha256_file(place) != (known or copied.sha256()):
            raise UsageError(
                f"{place}: its copy is not what {copied.file} was; check the disk, try again"
            )
    _write_index(index, parts, source, folder)


def _is_there(source: ModelSource, part: str, index: Mapping[str, Any]) -> bool:
    if part in source.architecture.parts:
        return True
    return (source.folder / part).is_dir() and not is_hollow(source, part, index[part][0])


def _files(source: ModelSource, index: Mapping[str, Any], parts: list[str]) -> Iterator[Copied]:
    for part in parts:
        if part in source.architecture.parts:
            yield from copied_part(source, part)
        else:
            yield from copied_beside(source, part, index[part][0], source.variant)
    for part in filter(lambda name: (source.folder / name).is_dir(), _OWN_JUDGES):
        yield from copied_beside(source, part, "transformers", None)
    for file in sorted(source.folder.iterdir()):
        licence = file.stem.upper() in ("LICENSE", "LICENCE", "NOTICE")
        if file.is_file() and (licence or file.name == RECOMMENDED):
            require_own(source.folder, file)
            yield Copied(file.name, file, published(file))


def _read_index(source: ModelSource) -> dict[str, Any]:
    return read_object(source.folder / INDEX)


def _components(index: Mapping[str, Any]) -> list[str]:
    """Names of the parts that a model_index.json tells of."""
    return [name for name, value in index.items() if isinstance(value, list) and any(value)]


def _write_index(
    index: Mapping[str, Any], parts: list[str], source: ModelSource, folder: Path
) -> None:
    """Copy the index; a part that is not there (a safety checker not fetched) is taken out."""
    gone = set(_components(index)) - set(parts)
    if not gone:
        content = published(source.folder / INDEX) or (source.folder / INDEX).read_bytes()
        (folder / INDEX).write_bytes(content)
        return
    kept = {name: [None, None] if name in gone else value for name, value in index.items()}
    if "safety_checker" in gone:
        kept["requires_safety_checker"] = False
    (folder / INDEX).write_text(json.dumps(public(kept), indent=2) + "\n", encoding="utf-8")


def write_model(
    opened: OpenedDenoiser, weights: Computed | Weights, metadata: Mapping[str, str], folder: Path
) -> None:
    """Write other weights in the form of what was opened: a whole model, or a UNet alone.

    The UNet alone, too, of a single file, which has no parts that could be copied.
    """
    if opened.pipeline is None:
        write_denoiser_files(weights, opened.config, folder, metadata)
    else:
        write_pipeline(weights, opened.config, metadata, opened.pipeline, folder)


def model_bytes(pipeline: ModelSource | None, weights: Computed | Weights) -> int:
    """About how much `write_model` writes: the weights, and a pipeline's other parts."""
    parts = 0
    if pipeline is not None and pipeline.single_file is None:
        own = f"{pipeline.architecture.denoiser}/"
        others = (name for name in pipeline.files if not name.startswith(own))
        parts = sum((pipeline.folder / name).stat().st_size for name in others)
    return parts + sum(spec.bytes for spec in weights.specs.values())


def denoiser_folder_of(opened: OpenedDenoiser, folder: Path) -> Path:
    """Where `write_model` puts the denoiser."""
    return folder / opened.pipeline.architecture.denoiser if opened.pipeline else folder
