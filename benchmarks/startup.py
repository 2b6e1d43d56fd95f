"""How long commands keep one waiting: help, a report, and the first image of an evaluation.

    python -m benchmarks.startup --out runs/bench

Each in a process of its own, of a small run of church on the miniature, made once and kept. Seconds
by the clock count only on a machine that does nothing else; those of the processor, of all threads
together, are told beside them, and what the libraries alone take to be imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from tempfile import TemporaryDirectory, TemporaryFile

import tyro

from benchmarks.common import Options as CommonOptions
from benchmarks.common import erase_case, table, write_results
from benchmarks.machine import machine
from expunge.command_table import COMMANDS
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.erase import Erase
from expunge.settings.evaluate import EvaluateConcept
from expunge.settings.groups import DataFlags
from expunge.settings.salun import SalUnFlags

LIBRARIES = (
    "import torch; from transformers import CLIPTextModel, CLIPTokenizer; "
    "from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel; "
    "from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL; "
    # What takes them down again is not waited for.
    "import os; os._exit(0)"
)
"""What any program must import that draws by a Stable Diffusion."""
LOOK = 0.005
"""Seconds between two looks at a process."""


@dataclass(frozen=True)
class Options(CommonOptions):
    """Flags."""

    turns: int = 5
    """How often each is started; all in turns."""
    python: str = sys.executable
    """The Python that is started: libraries that only tests need are imported where they lie beside
    the others, so a plain installation starts sooner."""


@dataclass(frozen=True)
class Took:
    """One start."""

    seconds: float
    processor: float
    """Of all threads, the system's part with it."""


@dataclass(frozen=True)
class Start:
    """What is started, and the aim for it in seconds, if there is one."""

    words: Sequence[str]
    aim: float | None
    image: bool = False
    """Whether the first image ends it, and not its own end."""


def main(options: Options) -> None:
    """Start everything in turns; print, and write startup.json and startup.md."""
    starts = _starts(_make_run(options))
    took: dict[str, list[Took]] = {name: [] for name in starts}
    for _ in range(options.turns):
        for name, start in starts.items():
            words = (options.python, *start.words)
            took[name].append(_first_image(words) if start.image else _whole(words))
    rows = [_row(name, start, took[name]) for name, start in starts.items()]
    head = ["", "best, s", "median, s", "processor, s", "aim, s"]
    markdown = f"{machine()}; {options.turns} turns\n\n{table(head, rows)}"
    found = {name: [asdict(one) for one in each] for name, each in took.items()}
    write_results(options, "startup", {"machine": machine(), "took": found}, markdown)
    sys.stdout.write(markdown)


def _make_run(options: Options) -> Path:
    """A run of few images and steps with its evaluation, for the report to have what to show."""
    command = Erase(
        concepts=("church",),
        settings=SalUnFlags(steps=2),
        data=DataFlags(forget_images=4, retain_images=8, inference_steps=2),
    )
    run = str(erase_case("church startup", command, options)["out"])
    evaluate_concept(EvaluateConcept(target=run, protocol="demo", steps=2))
    return Path(run)


def _starts(run: Path) -> Mapping[str, Start]:
    """Everything that is timed, by its name in the table."""
    helps = [(), *sorted(COMMANDS)]
    evaluate = ("evaluate", "concept", str(run), "--protocol", "demo")
    return {
        "the libraries alone": Start(("-c", LIBRARIES), None),
        **{
            " ".join(("expunge", *name, "--help")): Start(_expunge(*name, "--help"), 0.3)
            for name in helps
        },
        "expunge report RUN": Start(_expunge("report", str(run)), 2),
        "expunge compare RUN RUN": Start(_compare(run), 2),
        "first image of expunge evaluate concept RUN": Start(_expunge(*evaluate), 6, image=True),
    }


def _compare(run: Path) -> tuple[str, ...]:
    """The run beside what was evaluated of it, as if that were a stranger's."""
    return _expunge("compare", str(run), str(run / "eval"), "--out", str(run / "compare.html"))


def _expunge(*words: str) -> tuple[str, ...]:
    return ("-m", "expunge", *words)


def _whole(words: Sequence[str]) -> Took:
    """Run a program to its end."""
    return watch(words, lambda: False)


def _first_image(words: Sequence[str]) -> Took:
    """The same until an image lies in a folder that is the evaluation's alone, all of it new."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        out = ("--out", str(folder / "out"), "--originals", str(folder / "originals"))
        return watch((*words, *out), lambda: any(folder.glob("*/*/images/*.png")))


def watch(words: Sequence[str], enough: Callable[[], bool]) -> Took:
    """Start a program and wait for its end, or until it has done `enough`, and then end it."""
    with TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(words, stdout=DEVNULL, stderr=said)
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended or enough():
                break
            time.sleep(LOOK)
        seconds = time.perf_counter() - started
        if not ended:
            process.kill()
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if ended and process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(words)}: {said.read().decode(errors='replace')[-500:]}")
    return Took(seconds, used.ru_utime + used.ru_stime)


def _row(name: str, start: Start, took: Sequence[Took]) -> list[str]:
    seconds = [one.seconds for one in took]
    processor = min(one.processor for one in took)
    aim = "" if start.aim is None else f"{start.aim:g}"
    return [name, f"{min(seconds):.2f}", f"{median(seconds):.2f}", f"{processor:.2f}", aim]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
