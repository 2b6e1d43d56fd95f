"""From nothing to an erased church: the seconds of each stage, and whether it is gone.

    python -m benchmarks.quick --out runs/bench

Fewer images and steps than the defaults have, on the miniature; the erasure's own clock, without
the evaluation that proves it.
"""

import json
import sys
from dataclasses import dataclass

import tyro

from benchmarks.common import Options, run_case, to_record, write_results
from erase.run_folder.folder import read_run
from expunge.settings.erase import Erase
from expunge.settings.groups import DataFlags
from expunge.settings.salun import SalUnFlags


@dataclass(frozen=True)
class QuickOptions(Options):
    """Flags."""

    concept: str = "church"
    """What is erased."""
    forget_images: int = 32
    """Images in the forget set."""
    retain_images: int = 128
    """Images in the retain set."""
    steps: int = 60
    """Training steps."""
    saliency_guidance: float = 0
    """Of the mask's loss; the plain one takes half the passes of the default's."""
    until_erased: bool = False
    """Let the judge end the training."""


def main(options: QuickOptions) -> None:
    """Erase, measure, print, and write quick.json and quick.md."""
    flags = SalUnFlags(
        steps=options.steps,
        until_erased=options.until_erased,
        saliency_guidance=options.saliency_guidance,
    )
    data = DataFlags(forget_images=options.forget_images, retain_images=options.retain_images)
    command = Erase(concepts=(options.concept,), settings=flags, data=data)
    name = f"{options.concept} quick" + (" until erased" if options.until_erased else "")
    case = run_case(name, command, options)
    seconds = read_run(options.out / name.replace(" ", "-")).seconds
    record = {**to_record(case), "stages": seconds, "total": round(sum(seconds.values()), 1)}
    lines = [f"{stage:>8}  {value:6.1f} s" for stage, value in seconds.items()]
    lines.append(f"{'all':>8}  {record['total']:6.1f} s")
    write_results(options, "quick", record, "\n".join(f"    {line}" for line in lines) + "\n")
    sys.stdout.write("\n".join(lines) + f"\n{json.dumps(record['erased'])}\n")


if __name__ == "__main__":
    main(tyro.cli(QuickOptions, description=__doc__))
