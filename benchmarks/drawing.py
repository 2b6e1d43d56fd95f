"""How fast images are drawn: ours, a plain diffusers loop, and the UNet's passes alone.

    python -m benchmarks.drawing --size miniature

Ours is drawn as for an evaluation (PNG files and their log) and as for a set (encoded and stored,
over float32 weights as an erasure holds them). The plain loop calls the pipeline with a batch of
prompts at a time and saves PNG files; sampler, steps, guidance, batch, type and prompts are the
same. `bare` are the UNet's passes alone, two rows an image and step, and `decode` the
autoencoder's, so that nothing can be drawn in less than both. All take turns in one process; the
quickest of the rounds after the first counts. Models other than the miniature have random weights.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from torch import Tensor
from tqdm import trange

from benchmarks.clock import time_each
from benchmarks.common import table
from benchmarks.configs import TOKENS
from benchmarks.machine import machine
from benchmarks.models import CPU, make_conditioning, make_model
from erase.image_sets.datasets import Drawing as SetDrawing
from erase.image_sets.datasets import draw_set
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.devices import resolve_dtype
from erase.models.prediction import predict
from erase.run_folder.folder import write_json
from eval.generation.generate import Drawing, generate
from prompts.evaluation_rows import PromptRow, retain_rows

Size = Literal["tiny", "miniature", "medium"]
SAMPLER, GUIDANCE = "dpm++", 5.0
AT_ONCE: dict[Size, int] = {"tiny": 2, "miniature": 16, "medium": 1}
STEPS = 10
SIDES = ("evaluation", "set", "plain", "bare", "decode")


@dataclass(frozen=True)
class Options:
    """Flags."""

    size: Size = "miniature"
    """The shipped miniature, or an SD-shaped UNet of 215 M weights at 512 px (or a tiny one)."""
    rounds: int = 4
    """Times that each side draws, the first for warming up."""
    steps: int = STEPS
    """Sampling steps."""
    at_once: int | None = None
    """Images in a batch: by default 16 of the miniature, 1 of 215 M weights."""
    batches: int = 2
    """In a round."""
    dtype: str = "auto"
    """As `expunge evaluate --dtype`."""
    out: Path = Path("runs/bench")
    """Folder of the table."""


@dataclass(frozen=True)
class Case:
    """What every side draws in a round."""

    prompts: Sequence[str]
    at_once: int
    steps: int
    dtype: torch.dtype
    size: Size

    def rows(self) -> list[PromptRow]:
        """The prompts with their seeds."""
        return retain_rows(self.prompts)

    def batches(self) -> list[list[PromptRow]]:
        """The same by batch."""
        rows = self.rows()
        return [rows[i : i + self.at_once] for i in range(0, len(rows), self.at_once)]


def main(options: Options) -> None:
    """Time all sides in turns; print and write drawing-SIZE.json and drawing-SIZE.md."""
    at_once = options.at_once or AT_ONCE[options.size]
    case = Case(
        [f"an image of a church, number {i}" for i in range(at_once * options.batches)],
        at_once,
        options.steps,
        resolve_dtype(options.dtype, CPU),
        options.size,
    )
    seconds = timed(case, options.rounds)
    best = {side: min(times[1:] or times) for side, times in seconds.items()}
    found = {
        "machine": machine(),
        "dtype": str(case.dtype)[6:],
        "images": len(case.prompts),
        "at_once": at_once,
        "steps": options.steps,
        "seconds": best,
        "all": seconds,
        "ratios": ratios(best),
    }
    how = f"{found['dtype']}, batches of {at_once}, {options.steps} steps of {SAMPLER}"
    rows = [
        [side, f"{len(case.prompts) / best[side]:.3g}", f"{best['bare'] / best[side]:.2f}"]
        for side in SIDES
    ]
    markdown = f"{machine()}; {how}\n\n{table(['', 'images a second', 'of the bare speed'], rows)}"
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / f"drawing-{options.size}.json", found)
    (options.out / f"drawing-{options.size}.md").write_text(markdown, encoding="utf-8")
    sys.stdout.write(markdown)


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    """Ours in terms of the others: more than 1 is quicker than the plain loop."""
    least = seconds["bare"] + seconds["decode"]
    return {
        "plain / evaluation": seconds["plain"] / seconds["evaluation"],
        "plain / set": seconds["plain"] / seconds["set"],
        "bare / evaluation": seconds["bare"] / seconds["evaluation"],
        "bare / set": seconds["bare"] / seconds["set"],
        "bare and decode / evaluation": least / seconds["evaluation"],
        "bare / plain": seconds["bare"] / seconds["plain"],
    }


def timed(case: Case, rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, by round."""
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        sides = _sides(case, Path(name))
        for number in trange(rounds, unit="round"):
            for side, draw in sides.items():
                seconds[side] += time_each(CPU, partial(draw, number), 1)
    return seconds


def _sides(case: Case, out: Path) -> dict[str, Callable[[int], object]]:
    """What each side does in a round of a number."""
    drawn, learned = _model(case.size, case.dtype), _model(case.size, torch.float32)
    drawing = Drawing(SAMPLER, case.steps, GUIDANCE, drawn.native_size, str(case.dtype)[6:])
    how = SetDrawing(SAMPLER, case.steps, GUIDANCE, case.at_once, case.dtype)
    ours, plain = drawn.pipeline(SAMPLER), drawn.pipeline(SAMPLER)

    def evaluation(number: int) -> None:
        told: Any = {"model_hash": "", "batch_size": case.at_once}
        generate(ours, case.rows(), out / f"evaluation-{number}", drawing, **told)

    def a_set(number: int) -> None:
        told: Any = {"seed": 0, "role": "retain", "cache": out / f"set-{number}"}
        draw_set(learned, case.prompts, len(case.prompts), drawing=how, **told)

    return {
        "evaluation": evaluation,
        "set": a_set,
        "plain": lambda number: _plain(plain, case, out / f"plain-{number}"),
        "bare": lambda _: _bare(drawn, case),
        "decode": lambda _: _decode(drawn, case),
    }


def _model(size: Size, dtype: torch.dtype) -> Bundle:
    if size == "miniature":
        return load_checkpoint("miniature", device="cpu", dtype=str(dtype)[6:])
    return make_model(size, dtype, CPU)


def _plain(pipeline: Any, case: Case, out: Path) -> None:
    """As diffusers' own guides draw in batches."""
    out.mkdir()
    for batch in case.batches():
        images = pipeline(
            [row.prompt for row in batch],
            generator=[torch.Generator().manual_seed(row.seed) for row in batch],
            num_inference_steps=case.steps,
            guidance_scale=GUIDANCE,
        ).images
        for row, image in zip(batch, images, strict=True):
            image.save(out / f"{row.id}.png")


@torch.no_grad()
def _bare(sd: Bundle, case: Case) -> None:
    generator = torch.Generator().manual_seed(0)
    latents = _latents(sd, 2 * case.at_once, generator).to(case.dtype)
    told = make_conditioning(sd.denoiser, len(latents), TOKENS[case.size], generator)
    times = torch.full((len(latents),), 500)
    for _ in case.batches():
        for _ in range(case.steps):
            predict(sd.denoiser, latents, times, told.to(case.dtype))


@torch.no_grad()
def _decode(sd: Bundle, case: Case) -> None:
    latents = _latents(sd, case.at_once, torch.Generator().manual_seed(0)).to(case.dtype)
    for _ in case.batches():
        sd.vae.decode(latents, return_dict=False)


def _latents(sd: Bundle, rows: int, generator: torch.Generator) -> Tensor:
    config = sd.denoiser.config
    side = config["sample_size"]
    return torch.randn(rows, config["in_channels"], side, side, generator=generator)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
