"""The only loader of models: from a folder, a run, a file, the hub or the package."""

from __future__ import annotations

import erase.models.pil_processors  # noqa: F401

# isort: split
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from erase.models.architectures.architecture import Architecture
from erase.models.bundle import Bundle
from erase.models.devices import resolve_device, resolve_dtype
from erase.models.locate import locate
from erase.models.model_source import INDEX, ModelSource
from erase.models.part_config import build
from erase.models.parts_fit import require_fit
from erase.models.scheduler import load_scheduler
from erase.models.single_file.recognise import open_single_file
from erase.models.weights_check import check_weights, require_finite
from erase.tensors.weight_files import Weights
from plumbing.errors import UsageError
from plumbing.json_file import read_object

log = logging.getLogger(__name__)


def load_checkpoint(
    model: str | ModelSource,
    *,
    revision: str | None = None,
    variant: str | None = None,
    config: str | Path | None = None,
    prediction_type: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
) -> Bundle:
    """Load a model in eval mode; `model` is as in `locate`, or what `locate` returned."""
    if isinstance(model, ModelSource):
        source = model
    else:
        words = {"revision": revision, "variant": variant}
        source = locate(model, **words, config=config, prediction_type=prediction_type)
    place = resolve_device(device)
    with _opening(source, "scheduler"):
        scheduler = load_scheduler(source)
        # Before any weights are read: what it cannot be trained on is not drawn with either.
        source.architecture.schedule(scheduler)
    tokenizers = _load_tokenizers(source)
    with _opening(source, "config"):
        require_fit(source, tokenizers)
    parts: dict[str, Any] = {"scheduler": scheduler, **tokenizers}
    others = [name for name in source.architecture.parts if name not in parts]
    parts |= _load_parts(source, others, place, resolve_dtype(dtype, place))
    _require_known_latents(source, parts["vae"])
    _settle_size(source.architecture, parts[source.architecture.denoiser])
    return Bundle(source.architecture, {**parts, **_index_settings(source)}, source)


def load_text_encoders(source: ModelSource, device: torch.device) -> dict[str, Any]:
    """What a model's `architecture.encode` needs, in float32 and eval mode; nothing else of it."""
    names = [name for name in source.architecture.parts if name.startswith("text_encoder")]
    encoders = _load_parts(source, names, device, torch.float32)
    return {**_load_tokenizers(source), **encoders, **_index_settings(source)}


def _load_tokenizers(source: ModelSource) -> dict[str, Any]:
    names = [name for name in source.architecture.parts if name.startswith("tokenizer")]
    return {name: _load_tokenizer(source, name) for name in names}


def _load_parts(
    source: ModelSource, names: Sequence[str], device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """The parts with weights of these names, in eval mode."""
    # Its bar counts tensors, of a text encoder that is there at once.
    transformers_logging.disable_progress_bar()
    single = source.single_file and open_single_file(
        source.single_file, config=source.folder, prediction_type=source.prediction_type
    )
    parts = {}
    for name in names:
        # A run's denoiser lies in its folder, whatever its base came as.
        own = source.denoiser and name == source.architecture.denoiser
        load = _load_from_file if single and not own else _load_from_folder
        part = load(source, single, name, dtype)
        require_finite(source, name, part)
        parts[name] = part.eval().to(device)
    return parts


def _load_from_file(source: ModelSource, single: Any, component: str, dtype: torch.dtype) -> Any:
    # It imports diffusers' converters, and SciPy with them, which a folder has no use for.
    from erase.models.single_file.parts import load_part

    with _opening(source, component):
        return load_part(single, component, dtype)


def _load_from_folder(source: ModelSource, _: Any, component: str, dtype: torch.dtype) -> Any:
    kind = source.architecture.kind(component)
    own = source.denoiser if component == source.architecture.denoiser else None
    folder = own or source.folder / component
    files = source.weights_of(component)
    with _opening(source, component):
        weights = check_weights(source, component, kind)
        if files.oldest_naming:
            part, report = _load_oldest(kind, folder, weights, dtype)
        else:
            part, report = kind.from_pretrained(
                folder,
                variant=files.variant,
                output_loading_info=True,
                use_safetensors=files.safe,
                local_files_only=True,
                torch_dtype=dtype,
            )
    # Both libraries fill the gaps at random, and say so in a warning alone.
    for name in sorted(report["missing_keys"]):
        raise UsageError(f"--model {source.id}: its {component} lacks the weight {name}")
    if unused := sorted(n for n in report["unexpected_keys"] if not n.endswith("position_ids")):
        log.warning(
            "the %s has %d weights for which its config.json has no place, as %s; they are not "
            "used: are both of one model?",
            component,
            len(unused),
            unused[0],
        )
    return part


def _load_oldest(
    kind: Any, folder: Path, weights: Weights, dtype: torch.dtype
) -> tuple[Any, dict[str, Any]]:
    """A variant's shards under diffusers' oldest names, which it misses where a path has a dot."""
    part = build(kind, kind.load_config(folder))
    missing, unexpected = part.load_state_dict(dict(weights), strict=False)
    return part.to(dtype), {"missing_keys": missing, "unexpected_keys": unexpected}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what diffusers and transformers advise of weights and configs: it is told here."""
    libraries: list[Any] = [diffusers_logging, transformers_logging]
    before = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, level in zip(libraries, before, strict=True):
            library.set_verbosity(level)


def _load_tokenizer(source: ModelSource, component: str) -> Any:
    with _opening(source, component):
        return source.architecture.kind(component).from_pretrained(source.folder / component)


def _index_settings(source: ModelSource) -> dict[str, bool]:
    """What a model's index settles; a folder of configs need not have one."""
    index, usual = source.folder / INDEX, source.architecture.index_settings
    if not index.is_file() or not usual:
        return dict(usual)
    with _opening(source, INDEX):
        told = read_object(index)
        return {name: bool(told.get(name, value)) for name, value in usual.items()}


def _require_known_latents(source: ModelSource, vae: Any) -> None:
    """Refuse an autoencoder whose latents are made into others than the model's pipeline makes."""
    factor = vae.config["scaling_factor"]
    if type(factor) not in (int, float) or not 0 < factor < float("inf"):
        raise UsageError(
            f"--model {source.id}: its autoencoder's scaling_factor is {str(factor)[:40]}, not a "
            "number above 0; get it anew"
        )
    unknown = ["latents_mean", "latents_std"]
    unknown += [] if source.architecture.shifts_latents else ["shift_factor"]
    for name in unknown:
        if vae.config.get(name):
            raise UsageError(
                f"--model {source.id}: its autoencoder's {name} is not supported; "
                "expunge takes latents that are scaled alone"
            )


def _settle_size(architecture: Architecture, denoiser: Any) -> None:
    """Have a denoiser's config say the size that it is drawn in: all read it, and runs keep it.

    It is then of this diffusers, whose pipelines take older ones' sizes for others.
    """
    height, width = architecture.latent_size(denoiser.config)
    if isinstance(denoiser.config.get("sample_size"), int):
        size = height if height == width else (height, width)
        denoiser.register_to_config(sample_size=size, _diffusers_version=diffusers.__version__)


@contextmanager
def _opening(source: ModelSource, component: str) -> Iterator[None]:
    """Turn whatever keeps a part of a model from loading into a UsageError of one line."""
    try:
        with _quiet():
            yield
    except UsageError:
        raise
    # A stranger's files can be wrong in more ways than the libraries have names for.
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or repr(error)
        raise UsageError(
            f"--model {source.id}: its {component} does not load; get it anew ({reason})"
        ) from error
