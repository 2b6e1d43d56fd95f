"""Ten concepts erased in turn: the class-wise forgetting table of the SalUn paper.

    python -m benchmarks.imagenette --out runs/bench

From the miniature its counterparts of the ten Imagenette classes; from any other model (`--model`)
the classes themselves, judged by an ImageNet classifier. At least 1,100 images a class and model.
"""

import sys

import tyro

from benchmarks.common import Options, run_case, write_table
from expunge.settings.erase import Erase
from prompts.imagenette import CLASSES

COUNTERPARTS = (
    "fish",
    "dog",
    "videocassette",
    "carpentry saw",
    "church",
    "postal horn",
    "delivery truck",
    "fuel pump",
    "flag in hole",
    "parachute",
)
"""What the miniature draws in place of each of Imagenette's classes."""


def main(options: Options) -> None:
    """Erase the ten in turn and write imagenette.json and imagenette.md."""
    cases, table = [], ""
    for concept in COUNTERPARTS if options.model == "miniature" else CLASSES:
        cases.append(run_case(concept, Erase(concepts=(concept,)), options))
        # After each, so that a stopped benchmark leaves the table of what it has.
        table = write_table(options, "imagenette", {"ten": cases}, "Ten concepts erased in turn")
    sys.stdout.write(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
