"""SalUn, its rivals and Retrain on Fashion-MNIST: all figures of docs/classification.md.

    apt-get install dataset-fashion-mnist
    python -m benchmarks.classification --data /usr/share/datasets/fashion-mnist --out runs/bench

ResNet-20 on 12,000 images: three seeds take three quarters of an hour of one core.
What is finished is kept, and the same command goes on; what matters most comes first.
"""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from expunge.classification_benchmark.compare import compare
from expunge.classification_benchmark.results import to_markdown
from expunge.settings.classification import Classification

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Options:
    """Flags."""

    out: Path = Path("runs/bench")
    """Folder of the results."""
    data: Path = FASHION_MNIST
    """Folder of Fashion-MNIST's four .gz files, as Debian's package installs them."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds to average over."""


def main(options: Options) -> None:
    """Random shares of 10 and 50 %, then a class, then the curve between; one table of it all."""
    started = time.monotonic()
    everything = Classification(
        data=options.data,
        out=options.out / "classification-fashion-mnist",
        scenario=("random", "class"),
        forget_share=(0.1, 0.3, 0.5),
        seeds=options.seeds,
    )
    for scenario, shares in ((("random",), (0.1, 0.5)), (("class",), (0.1,))):
        compare(replace(everything, scenario=scenario, forget_share=shares))
    sys.stdout.write(to_markdown(compare(everything)["cells"]))
    sys.stdout.write(
        f"\n{(time.monotonic() - started) / 60:.1f} minutes, what was there left out\n"
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
