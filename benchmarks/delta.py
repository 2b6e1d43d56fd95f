"""How small is what an erasure changed? Deltas at three densities, applied and taken back.

    python -m benchmarks.delta --out runs/bench

Nothing is drawn but the sets; the protocol plays no part.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tyro
from torch import Tensor

from benchmarks.common import Options, erase_case, table, write_results
from erase.models.denoiser_files import denoiser_weights, open_denoiser
from erase.models.erased_run import open_run
from erase.tensors.bits import same_bits
from expunge.exports.apply import apply
from expunge.exports.export import export_run
from expunge.exports.undo import undo
from expunge.settings.apply import Apply, Undo
from expunge.settings.erase import Erase
from expunge.settings.export import Export
from expunge.settings.salun import SalUnFlags

DENSITIES = (0.5, 0.1, 0.01)


@dataclass(frozen=True)
class DeltaOptions(Options):
    """Flags of the benchmark of deltas."""

    concept: str = "church"
    """What is erased."""
    densities: tuple[float, ...] = DENSITIES
    """Densities of the mask, of all weights of the UNet."""


def main(options: DeltaOptions) -> None:
    """Erase at every density, export, apply, undo, and write delta.json and delta.md."""
    points: list[dict[str, Any]] = []
    markdown = ""
    for density in options.densities:
        points.append(_measure(density, options))
        note = (
            f"{options.concept} erased from {options.model}, all of the UNet trainable: the delta "
            "beside the UNet's own file, and whether applying and undoing give every bit."
        )
        head = ["density", "weights changed", "delta, bytes", "UNet, bytes", "share, %"]
        rows = [_row(point) for point in points]
        markdown = f"{note}\n\n{table([*head, 'erased again', 'base again'], rows)}"
        write_results(options, "delta", {"concept": options.concept, "points": points}, markdown)
    sys.stdout.write(markdown)


def _measure(density: float, options: DeltaOptions) -> dict[str, Any]:
    name = f"{options.concept} full density {density:g}"
    flags = SalUnFlags(train_method="full", density=density)
    record = erase_case(name, Erase(concepts=(options.concept,), settings=flags), options)
    target = Path(record["out"])
    exported = export_run(Export(target=target, format="delta", overwrite=True))
    run, delta = open_run(target), Path(exported["export"])
    base = denoiser_weights(run.locate_base())
    with TemporaryDirectory(prefix="expunge-") as folder:
        erased, restored = Path(folder) / "erased", Path(folder) / "base"
        apply(Apply(deltas=(delta,), to=erased, model=options.model))
        undo(Undo(model=str(erased), to=restored, delta=(delta,)))
        applied = _alike(open_denoiser(str(erased)).weights, run.weights)
        undone = _alike(open_denoiser(str(restored)).weights, base)
    return {
        "density": density,
        "selected": record["mask"]["kept"],
        "total": record["mask"]["total"],
        "bytes": exported["bytes"],
        "unet_bytes": exported["unet_bytes"],
        "applied_bit_equal": applied,
        "undone_bit_equal": undone,
    }


def _alike(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return set(first) == set(second) and all(same_bits(first[n], second[n]) for n in first)


def _row(point: Mapping[str, Any]) -> list[str]:
    return [
        f"{point['density']:g}",
        f"{point['selected']:,} of {point['total']:,}",
        f"{point['bytes']:,}",
        f"{point['unet_bytes']:,}",
        f"{100 * point['bytes'] / point['unet_bytes']:.1f}",
        *("bit-equal" if point[key] else "NO" for key in ("applied_bit_equal", "undone_bit_equal")),
    ]


if __name__ == "__main__":
    main(tyro.cli(DeltaOptions, description=__doc__))
