"""The base of a model that deltas made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from erase.export.delta import undo_deltas
from erase.export.denoiser import WEIGHTS
from erase.export.lora.read import is_lora
from erase.export.pipeline import denoiser_folder_of, model_bytes, write_model
from erase.export.place import put_in_place
from erase.models.denoiser_files import open_denoiser
from erase.tensors.bits import content_hash
from erase.tensors.weight_files import Computed, Spec
from expunge.exports.apply import open_deltas
from expunge.settings.apply import Undo
from plumbing.errors import UsageError
from plumbing.lock import require_idle
from plumbing.whole_files import sha256_file


def undo(settings: Undo) -> dict[str, Any]:
    """Write the base without printing; returns its place and hash.

    The deltas tell the hash of the base's whole UNet: a model that they do not lead back to it,
    whatever weight is to blame, is a UsageError, and then nothing is written.
    """
    for path in settings.delta:
        if is_lora(path):
            raise UsageError(
                f"--delta {path}: a LoRA, which is not exact: taking it off would not give the "
                "base's bits; keep the base, or erase by a delta"
            )
    deltas = open_deltas(settings.delta)
    require_idle(Path(settings.model), "MODEL")
    opened = open_denoiser(settings.model)
    dtype, stored = deltas[0].dtype, deltas[0].base_dtype
    erased = opened.weights
    wrong = next((n for n, spec in erased.specs.items() if spec.dtype != dtype), None)
    if wrong:
        raise UsageError(
            f"{settings.model}: its {wrong} is {str(erased.specs[wrong].dtype)[6:]}, the delta is "
            f"of {str(dtype)[6:]} weights; give the model as it was exported or applied"
        )

    def compute(name: str) -> Tensor:
        return undo_deltas(deltas, name, erased[name])

    # Hashed before it is narrowed, or a weight a little off would round to the base's.
    if content_hash(Computed(erased.specs, compute)) != deltas[0].metadata["expunge.base_unet"]:
        raise UsageError(
            f"{settings.model}: its weights are not what {settings.delta[-1]} makes of its base at "
            "strength 1, so the base cannot be had back; give every delta, in the applied order"
        )
    specs = {name: Spec(stored(name), spec.shape) for name, spec in erased.specs.items()}
    base = Computed(specs, lambda name: compute(name).to(stored(name)))
    written = put_in_place(
        settings.to,
        lambda place: write_model(opened, base, {}, place),
        overwrite=settings.overwrite,
        size=model_bytes(opened.pipeline, base),
    )
    return {
        "model": str(settings.to),
        "from": settings.model,
        "deltas": [str(delta.path) for delta in deltas],
        "dtype": deltas[0].base_dtypes,
        "base_unet": deltas[0].metadata["expunge.base_unet"],
        "written": written,
        "sha256": sha256_file(denoiser_folder_of(opened, Path(settings.to)) / WEIGHTS),
    }
