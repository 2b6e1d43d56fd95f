"""What `erase` and `mask` do alike before they differ: concept, folder, sets and mask."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from erase.diffusion.scheduler_config import require_steps
from erase.image_sets.captioned_folder import hash_captions, read_captions, require_whole_images
from erase.image_sets.drawing import Drawing
from erase.methods.method import ClosedForm, Method, Trained
from erase.models.devices import resolve_device, resolve_dtype
from erase.models.locate import locate
from erase.models.model_source import ModelSource
from erase.models.recommended import read_recommended
from erase.run_folder.identity import source_name, without_spellings
from expunge.runs.roles import ROLES, load_method, needed, refuse_images, roles_of
from expunge.runs.texts import choose_images, name_of, read_concepts
from expunge.settings.erase import Erase, Mask
from expunge.settings.groups import Data
from plumbing.errors import UsageError
from plumbing.whole_files import sha256_file
from prompts.concept import ConceptSpec
from prompts.naming import fold

AT_ONCE = 16
"""Images drawn together for a method that is not trained on images."""
_MASK_DECIDES = ("density", "train_method", "saliency_guidance")


@dataclass(frozen=True)
class Plan:
    """A run, decided but not begun: nothing has been written yet."""

    concept: ConceptSpec
    source: ModelSource
    drawing: Drawing
    dtype: torch.dtype
    method: str
    settings: Any
    """The method's settled settings; for a mask alone, `Saliency`."""
    data: Data
    roles: tuple[str, ...]
    """The sets of images that it has."""
    captions: dict[str, dict[Path, str]]
    """The images that the user gave, by role (`forget`, `retain`)."""
    identity: dict[str, Any]
    """What makes two runs the same; the beginning of run.json."""
    out: Path
    cache: Path


def make_plan(command: str, config: Erase | Mask) -> Plan:
    """Check everything that can be checked without loading weights; bad input is a UsageError."""
    model = config.model
    dtype = resolve_dtype(model.dtype, resolve_device(model.device))
    source = locate(
        model.model,
        revision=model.revision,
        variant=model.variant,
        config=model.config,
        prediction_type=model.prediction_type,
    )
    settings, data = config.settle(partial(_own, source))
    concept = read_concepts(config.concepts, source, data.forget_prompts, data.retain_prompts)
    given = {"forget": data.forget_data, "retain": data.retain_data}
    method = config.method if isinstance(config, Erase) else "salun"
    own, roles = load_method(method), ("forget",)
    if isinstance(config, Erase):
        if isinstance(own, ClosedForm):
            refuse_images(own, config.data)
        roles = roles_of(own, settings)
        data = needed(data, given, roles, method)
    _require_one_each(concept, data, given)
    captions = {r: read_captions(folder, f"--{r}-data") for r, folder in given.items() if folder}
    identity = {
        "command": command,
        "concepts": [name_of(concept) for concept in config.concepts],
        "concept": {"name": concept.name, "kind": concept.kind, "source": concept.source},
        "config": _record_config(settings, data, resolve_device(model.device).type, dtype),
        "inputs": {
            "prompts": _hash_concept(concept),
            **{f"{role}_data": hash_captions(images) for role, images in captions.items()},
        },
        "base": source.record(),
    }
    if isinstance(config, Erase):
        identity["method"] = method
    mask_file = getattr(settings, "mask", None)
    if mask_file is not None:
        if not mask_file.is_file():
            inside = mask_file / "mask.safetensors"
            what = "no such file; make one with `expunge mask`"
            what = f"a folder; give {inside}" if inside.is_file() else what
            raise UsageError(f"--mask {mask_file}: {what}")
        identity["inputs"]["mask"] = sha256_file(mask_file)
    require_steps(source.folder, data.inference_steps, "--inference-steps")
    if trajectory := getattr(settings, "trajectory_steps", None):
        require_steps(source.folder, trajectory, "--trajectory-steps")
    prefix = "" if command == "erase" else f"{command}-"
    out = config.out or default_out(prefix, concept.name, identity)
    return Plan(
        concept=concept,
        source=source,
        drawing=_drawing(data, _at_once(own, settings), dtype),
        dtype=dtype,
        method=method,
        settings=settings,
        data=data,
        roles=roles,
        captions=choose_images(concept, captions, given),
        identity=identity,
        out=out,
        cache=data.cache or out / "cache",
    )


def _require_one_each(concept: ConceptSpec, data: Data, given: Mapping[str, Path | None]) -> None:
    """Refuse, as a UsageError, a forget set in which some of several concepts have no image."""
    count, wanted = data.forget_images, len(concept.names)
    if count and not given["forget"] and count < wanted:
        raise UsageError(
            f"--forget-images {count}: fewer than the {wanted} concepts, some of which would stay; "
            f"give {wanted} or more"
        )


def require_images(plan: Plan) -> None:
    """Refuse, as a UsageError, a run whose images are damaged; it takes a while for many."""
    for role, captions in plan.captions.items():
        require_whole_images(captions, f"--{role}-data")


def hash_inputs(
    name: str, concepts: Sequence[str], config: Mapping[str, Any], source: ModelSource
) -> tuple[str, ...]:
    """What run.json's `inputs` may have under a name, found anew; UsageError if it is not there.

    The first is what this version writes: earlier ones put into it where a concept's file lay.
    """
    if name in ("mask", "forget_data", "retain_data"):
        place = config.get(name)
        if not isinstance(place, str):
            raise UsageError(f"run.json does not say which {name.replace('_', ' ')} was given")
        if name == "mask":
            return (sha256_file(Path(place)),)
        return (hash_captions(read_captions(Path(place), f"--{name.replace('_', '-')}")),)
    files = (config.get(f"{role}_prompts") for role in ("forget", "retain"))
    spec = read_concepts(concepts, source, *(file and Path(file) for file in files))
    return _hash_concept(spec), _hash_json(_trained_on(spec))


def _hash_concept(spec: ConceptSpec) -> str:
    """One sha256 over all that is known of a concept, wherever its file lies."""
    told = _trained_on(spec)
    for each in (told, *told["members"]):
        each["source"] = source_name(each["source"])
    return _hash_json(told)


def _trained_on(spec: ConceptSpec) -> dict[str, Any]:
    """All that is known of a concept but its probes, that nothing is trained on."""
    told = asdict(spec)
    for each in (told, *told["members"]):
        del each["probes"]
    return told


def _own(source: ModelSource, sampler: str | None) -> dict[str, Any]:
    """What a model recommends for itself, by the settings' names."""
    usual, sampler = read_recommended(source), sampler or source.architecture.sampler
    own = {"sampler": sampler, "inference_steps": usual.steps_of(sampler)}
    own |= {"guidance_scale": usual.guidance_scale}
    return own | ({"lr": usual.lr} if usual.lr else {})


def _at_once(method: Method, settings: Any) -> int:
    """Images drawn together: a step's batch, of a method that is trained on images."""
    trained_on = isinstance(method, Trained) and set(method.sets(settings)) & {*ROLES}
    return settings.batch_size if trained_on else AT_ONCE


def _drawing(data: Data, batch_size: int, dtype: torch.dtype) -> Drawing:
    return Drawing(
        sampler=data.sampler,
        steps=data.inference_steps,
        guidance_scale=data.guidance_scale,
        guided_share=data.guided_share,
        batch_size=batch_size,
        dtype=dtype,
    )


def _record_config(settings: Any, data: Data, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """All settings; None what a given mask decides, and the sizes of sets that are not needed."""
    record = {**asdict(settings), **asdict(data), "device": device, "dtype": str(dtype)[6:]}
    del record["cache"]
    overruled = _MASK_DECIDES if record.get("mask") else ()
    overruled += ("density",) if record.get("mask_kind") == "none" else ()
    unused = [name for name in ("forget_images", "retain_images") if record[name] == 0]
    record |= dict.fromkeys((*overruled, *unused))
    # Whole, or another folder's file of the same name would be taken for it later.
    return {k: os.path.abspath(v) if isinstance(v, Path) else v for k, v in record.items()}


def _hash_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def default_out(prefix: str, name: str, identity: Mapping[str, Any]) -> Path:
    """The folder of a run that was given none: its name readable, its identity in eight digits."""
    slug = re.sub(r"[^a-z0-9]+", "-", fold(name)).strip("-")[:40] or "concept"
    return Path("runs") / f"{prefix}{slug}-{_hash_json(without_spellings(identity))[:8]}"
