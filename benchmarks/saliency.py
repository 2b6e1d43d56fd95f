"""Guided or plain saliency? The two masks' overlap, what they cost, and what they erase.

    python -m benchmarks.saliency --out runs/bench

Guided (7.5) is SalUn's: two passes with a gradient where the plain conditional loss needs one.
"""

import sys
from pathlib import Path
from typing import Any

import tyro

from benchmarks.common import SCORES, Case, Options, run_case, score_cells, table, write_results
from erase.run_folder.folder import read_run
from erase.saliency.mask import SaliencyMask
from expunge.settings.erase import Erase
from expunge.settings.salun import SalUnFlags

CONCEPTS = ("church", "outline")


def main(options: Options) -> None:
    """Erase every concept either way and write saliency.json and saliency.md."""
    rows: list[list[str]] = []
    points: list[dict[str, Any]] = []
    markdown = ""
    for concept in CONCEPTS:
        guided = run_case(concept, Erase(concepts=(concept,)), options)
        command = Erase(concepts=(concept,), settings=SalUnFlags(saliency_guidance=0))
        plain = run_case(f"{concept} plain saliency", command, options)
        shared = _overlap(options.out / concept, options.out / f"{concept}-plain-saliency")
        for name, case in (("guided", guided), ("plain", plain)):
            point = _point(name, case, options) | {"overlap": shared}
            points.append(point)
            seconds = f"{point['mask_seconds']:.1f}"
            rows.append([f"{concept}, {name}", *score_cells(case.evaluation.erased), seconds])
        rows[-1].append(f"{100 * shared:.1f}")
        rows[-2].append("")
        head = ["", *SCORES, "mask, s", "shared, %"]
        note = (
            f"Saliency of the guided and of the plain loss: {options.model}, {options.protocol} "
            "protocol, in %, with 95 % intervals. Shared: of the selected weights; by chance it "
            "would be the density, 50 %."
        )
        markdown = f"{note}\n\n{table(head, rows)}"
        write_results(options, "saliency", {"points": points}, markdown)
    sys.stdout.write(markdown)


def _point(name: str, case: Case, options: Options) -> dict[str, Any]:
    folder = options.out / case.name.replace(" ", "-")
    return {
        "saliency": name,
        "concept": case.concept,
        "mask_seconds": read_run(folder).seconds["mask"],
        "evaluation": case.evaluation.to_dict(),
    }


def _overlap(first: Path, second: Path) -> float:
    """Share of the weights selected by the first mask that the second selects, too."""
    masks = [SaliencyMask.load(run / "mask.safetensors") for run in (first, second)]
    names = masks[0].shapes
    both = sum(int((masks[0].bits(name) & masks[1].bits(name)).sum()) for name in names)
    return both / masks[0].kept


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
