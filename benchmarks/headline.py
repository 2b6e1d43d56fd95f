"""The headline figures: church with three seeds, dog, and the style outline.

python -m benchmarks.headline --out runs/bench
"""

import sys

import tyro

from benchmarks.common import Case, Options, run_case, write_table
from expunge.settings.erase import Erase
from expunge.settings.salun import SalUnFlags

CASES = (("church", 0), ("church", 1), ("church", 2), ("dog", 0), ("outline", 0))


def main(options: Options) -> None:
    """Erase each and write headline.json and headline.md."""
    groups: dict[str, list[Case]] = {}
    table = ""
    for concept, seed in CASES:
        command = Erase(concepts=(concept,), settings=SalUnFlags(seed=seed))
        # Seed 0 has the folder of the other benchmarks' same run.
        name = f"{concept} seed {seed}" if seed else concept
        groups.setdefault(concept, []).append(run_case(name, command, options))
        table = write_table(options, "headline", groups, "Default settings")
    sys.stdout.write(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
