"""The miniature's counterparts of the ten Imagenette classes, each erased alone.

    python -m benchmarks.imagenette --out runs/bench

Stands for the class-wise forgetting table of the SalUn paper; 1,100 images a class and model.
"""

import sys

import tyro

from benchmarks.common import Options, run_case, write_table
from erase.config import Erase

CLASSES = {
    "tench": "fish",
    "English springer": "dog",
    "cassette player": "videocassette",
    "chain saw": "carpentry saw",
    "church": "church",
    "French horn": "postal horn",
    "garbage truck": "delivery truck",
    "gas pump": "fuel pump",
    "golf ball": "flag in hole",
    "parachute": "parachute",
}
"""Imagenette's class to the miniature's."""


def main(options: Options) -> None:
    """Erase the ten in turn and write imagenette.json and imagenette.md."""
    cases, table = [], ""
    for concept in CLASSES.values():
        cases.append(run_case(concept, Erase(concepts=(concept,)), options))
        # After each, so that a stopped benchmark leaves the table of what it has.
        table = write_table(options, "imagenette", {"ten": cases}, "Ten concepts erased in turn")
    sys.stdout.write(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
