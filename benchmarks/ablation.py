"""Does the saliency mask matter? Saliency, random and no mask, all else equal.

    python -m benchmarks.ablation --out runs/bench

Same sets, steps, learning rate and seed; `random` has the density of `saliency`, `none` trains all.
"""

import sys
from typing import Literal

import tyro

from benchmarks.common import Case, Options, run_case, write_table
from expunge.settings.erase import Erase
from expunge.settings.salun import SalUnFlags

CONCEPTS = ("church", "outline")
MASKS: tuple[Literal["saliency", "random", "none"], ...] = ("saliency", "random", "none")


def main(options: Options) -> None:
    """Erase every concept with every mask and write ablation.json and ablation.md."""
    groups: dict[str, list[Case]] = {f"mask {mask}": [] for mask in MASKS}
    table = ""
    for concept in CONCEPTS:
        for mask in MASKS:
            command = Erase(concepts=(concept,), settings=SalUnFlags(mask_kind=mask))
            # The saliency case has the folder of the other benchmarks' same run.
            name = concept if mask == "saliency" else f"{concept} mask {mask}"
            groups[f"mask {mask}"].append(run_case(name, command, options))
        table = write_table(options, "ablation", groups, "The mask alone differs")
    sys.stdout.write(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
