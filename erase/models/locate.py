"""Where a model is, what it is made of, and whether it is of a family that can be erased from."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from erase.models.architectures.architecture import Architecture
from erase.models.architectures.known import of_pipeline, supported
from erase.models.folder_check import check_index, check_part
from erase.models.hub import (
    fetch_json,
    fetch_pipeline,
    list_files,
    looks_like_hub_id,
    unknown_model,
)
from erase.models.model_source import INDEX, MINIATURE, ModelSource
from erase.models.named_model import is_single_file, meant, no_model_in
from erase.models.part_weights import (
    names_in,
    none_there,
    require_variant,
    require_weights,
    run_weights,
    settings_files,
)
from erase.run_folder.folder import find_denoiser, is_run, read_run
from erase.run_folder.record import Base
from plumbing.errors import UsageError
from plumbing.json_file import read_object
from plumbing.whole_files import sha256_file


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
    and `prediction_type` then tell of; anything else, and any model of an architecture that is not
    known here, is a UsageError, as is whatever is told of a model that has no use for it.
    """
    model = meant(model)
    told = Base(model, revision, variant, str(config) if config else None, prediction_type)
    _refuse_useless(told)
    return _find(told, asked=True)


def _refuse_useless(told: Base) -> None:
    model, single = told.id, is_single_file(told.id)
    folder = model == "miniature" or Path(model).is_dir()
    useless = {
        "--config": (told.config, not single, "a single file"),
        "--prediction-type": (told.prediction_type, not single, "a single file"),
        "--revision": (told.revision, single or folder, "a model of the hub"),
        "--variant": (told.variant, single, "a model of the hub or a folder"),
    }
    for flag, (value, refused, home) in useless.items():
        if value is not None and refused:
            raise UsageError(
                f"{flag} {value}: goes with {home}, which {model} is not; leave it out"
            )


def _find(told: Base, *, asked: bool) -> ModelSource:
    """A model by what is told of it; `asked`: a variant that it does not have is a UsageError."""
    model, revision, variant, path = told.id, told.revision, told.variant, Path(told.id)
    if is_single_file(model):
        # It reads tensors, so it needs torch, which this module does without.
        from erase.models.single_file.recognise import locate_single_file

        config = Path(told.config) if told.config else None
        return locate_single_file(path, config, told.prediction_type)
    if model != "miniature" and is_run(path):
        return locate_run(path, variant)
    if model == "miniature":
        folder, revision = MINIATURE, None
    elif path.is_dir():
        folder, revision = path.resolve(), None
    elif looks_like_hub_id(model):
        architecture = _check_family(model, fetch_json(model, INDEX, revision))
        config = fetch_json(model, f"{architecture.denoiser}/config.json", revision)
        _check_channels(model, architecture, config)
        if listed := list_files(model, revision):
            _check_listed(model, architecture, listed, variant, asked=asked)
        folder, revision = fetch_pipeline(model, revision, variant)
    else:
        raise unknown_model(model)
    architecture = _check_folder(model, folder)
    if asked:
        _require_variant(model, architecture, lambda part: names_in(folder / part), variant)
    name = str(folder) if path.is_dir() and model != "miniature" else model
    files = _hash_files(model, folder, architecture, variant)
    return ModelSource(name, revision, files, folder, architecture, variant)


def locate_recorded(base: Base, *, variant: str | None = None) -> ModelSource:
    """Find the model that a run.json's `base` tells of, wherever it is from; see `locate`."""
    single = replace(base, revision=None, variant=None)
    _refuse_useless(single if variant is None else replace(single, variant=variant))
    return _find(replace(base, variant=variant or base.variant), asked=variant is not None)


def native_size(source: ModelSource) -> tuple[int, int]:
    """(width, height) in pixels that the model was made for, read without its weights."""
    own = source.architecture
    denoiser = _read_json(source.denoiser_folder / "config.json", source.id)
    vae = _read_json(source.folder / "vae" / "config.json", source.id)
    return own.native_size(own.config(own.denoiser, denoiser), own.config("vae", vae))


def _read_json(path: Path, model: str) -> dict[str, Any]:
    """A JSON object that a model's folder must have; a UsageError names the file."""
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        place = path.relative_to(path.parents[1])
        raise UsageError(
            f"--model {model}: {place} cannot be read ({error}); get it anew"
        ) from error


def locate_run(path: Path, variant: str | None = None, moved: Base | None = None) -> ModelSource:
    """What a run made of its base, which is where run.json says, or `moved`; see `locate`."""
    record = read_run(path, "base")
    base = moved or record.base
    denoiser = find_denoiser(path.resolve())
    if not record.finished or denoiser is None:
        raise UsageError(
            f"--model {path}: this run has no erased weights yet; finish it with its `erase`"
        )
    source = locate_recorded(base, variant=variant)
    if source.digest != base.digest:
        raise UsageError(
            f"--model {path}: its base model {base.id} is not the one that was erased "
            f"(digest {source.digest[:12]}, expected {base.digest[:12]}); restore that model"
        )
    part = f"{source.architecture.denoiser}/"
    kept = {name: sha for name, sha in source.files.items() if not name.startswith(part)}
    own = [denoiser / "config.json", *run_weights(denoiser).files]
    erased = {part + file.name: sha256_file(file) for file in own}
    wrong = [name for name, sha in erased.items() if record.weights.get(name, sha) != sha]
    if wrong:
        raise UsageError(
            f"--model {path}: {wrong[0]} is not what the run wrote; see "
            f"`expunge verify {shlex.quote(str(path))}`, and make it again with its `erase` and "
            "--overwrite"
        )
    found = {"id": str(path.resolve()), "revision": None, "files": kept | erased}
    return replace(source, **found, denoiser=denoiser, base=source)


def _check_folder(model: str, folder: Path) -> Architecture:
    """That of a folder; one that lacks a part of it is a UsageError."""
    index = folder / INDEX
    if not index.is_file():
        raise UsageError(
            f"--model {model}: {folder.name}/ has no model_index.json and no run.json; "
            f"{no_model_in(folder)}"
        )
    told = _read_json(index, model)
    architecture = _check_family(model, told)
    check_index(model, told)
    missing = [part for part in architecture.parts if not (folder / part).is_dir()]
    if missing:
        raise UsageError(
            f"--model {model}: the folder lacks {', '.join(missing)}; download it whole"
        )
    for part in architecture.parts:
        check_part(model, folder / part)
    _check_channels(
        model, architecture, _read_json(folder / architecture.denoiser / "config.json", model)
    )
    return architecture


def _check_channels(model: str, architecture: Architecture, denoiser: Mapping[str, Any]) -> None:
    taken, given = (denoiser.get(f"{side}_channels", 4) for side in ("in", "out"))
    # Noise goes in and a prediction of its size comes out; whatever else goes in is a picture.
    if given is not None and taken != given:
        raise UsageError(
            f"--model {model}: its {architecture.denoiser_name} takes {taken} channels (an "
            f"inpainting or depth model); {supported()}"
        )


def _check_family(model: str, index: dict[str, Any]) -> Architecture:
    """A pipeline's architecture; one that is not supported is a UsageError."""
    name = index.get("_class_name")
    architecture = of_pipeline(index)
    if architecture is None:
        raise UsageError(f"--model {model}: a {name} is not supported; {supported()}")
    if refused := architecture.refuse(index):
        raise UsageError(f"--model {model}: {refused}; {supported()}")
    return architecture


def _require_variant(
    model: str,
    architecture: Architecture,
    names_of: Callable[[str], Collection[str]],
    variant: str | None,
) -> None:
    parts = {part: architecture.layout(part) for part in architecture.parts}
    names = {part: (layout, names_of(part)) for part, layout in parts.items() if layout}
    require_variant(model, names, variant)


def _check_listed(
    model: str,
    architecture: Architecture,
    files: Collection[str],
    variant: str | None,
    *,
    asked: bool,
) -> None:
    """Refuse, as a UsageError, a model of the hub without the weights, before any come."""

    def names_of(part: str) -> set[str]:
        return {name.removeprefix(f"{part}/") for name in files if name.startswith(f"{part}/")}

    if asked:
        _require_variant(model, architecture, names_of, variant)
    for part in architecture.parts:
        layout = architecture.layout(part)
        if layout and layout.choose(names_of(part), variant) is None:
            raise none_there(f"--model {model}", part, names_of(part), layout)


def _hash_files(
    model: str, folder: Path, architecture: Architecture, variant: str | None
) -> dict[str, str]:
    # SDXL's index tells what stands for no prompt, and so what is drawn.
    files = [folder / INDEX] if architecture.index_settings else []
    for part in architecture.parts:
        layout = architecture.layout(part)
        files += settings_files(folder / part, layout)
        if layout:
            files += require_weights(f"--model {model}", folder / part, layout, variant).all()
    return {file.relative_to(folder).as_posix(): sha256_file(file) for file in files}
