"""Which models does the check for collapse call broken? Healthy, damaged and broken ones.

    python -m benchmarks.collapse --out runs/bench

Each is measured as a concept is that no judge names: by CLIP, and by control images.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from diffusers import UNet2DConditionModel

from benchmarks.common import Options, erase_case, table, write_results
from erase.models.model_source import MINIATURE
from eval.concept.results import ConceptEvaluation
from eval.metrics.rates import cell
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.erase import Erase
from expunge.settings.evaluate import EvaluateConcept
from expunge.settings.salun import SalUnFlags

CONCEPT = "church"
RUNS: dict[str, dict[str, Any]] = {
    "church": {},
    "church lr 0.005": {"lr": 0.005},
    "church lr 0.05": {"lr": 0.05},
    "church nothing retained": {"alpha": 0.0, "train_method": "full", "lr": 1e-3},
    "church all of the UNet, lr 0.05": {"train_method": "full", "lr": 0.05, "steps": 30},
}
"""Erasures by flag: as it should be, then harder than any model stands; no guard stops them."""
Break = Callable[[UNet2DConditionModel], object]


@dataclass(frozen=True)
class CollapseOptions(Options):
    """Flags of the benchmark of collapsed models."""

    protocol: Literal["full", "demo"] = "demo"
    """Protocol of the evaluation: control images are as many in both."""


def main(options: CollapseOptions) -> None:
    """Make and measure every model; write collapse.json and collapse.md."""
    found: dict[str, ConceptEvaluation] = {}
    for name, target in _targets(options):
        folder = options.out / "collapse" / name.replace(" ", "-")
        found[name], _ = evaluate_concept(
            EvaluateConcept(
                target=str(target),
                baseline=str(MINIATURE),
                concept=(CONCEPT,),
                detector="clip",
                protocol=options.protocol,
                out=folder / "eval",
                originals=options.out.resolve() / ".originals",
            )
        )
        markdown = _markdown(found)
        record = {name: each.to_dict() for name, each in found.items()}
        write_results(options, "collapse", {"models": record}, markdown)
    sys.stdout.write(markdown)


def _targets(options: CollapseOptions) -> Iterator[tuple[str, Path]]:
    yield "the original", MINIATURE
    for name, flags in RUNS.items():
        command = Erase(concepts=(CONCEPT,), settings=SalUnFlags(**flags, no_guard=bool(flags)))
        yield name, Path(erase_case(name, command, options)["out"])
    for name, harm in _breaks().items():
        folder = options.out / "collapse" / name.replace(" ", "-") / "model"
        if not folder.exists():
            _write_broken(folder, harm)
        yield name, folder


def _breaks() -> dict[str, Break]:
    return {
        **{f"noise of {s:g} on the weights": _shaken(s) for s in (0.1, 0.3, 0.6, 1.0)},
        "random UNet": _randomise,
        "output layer of zeros": lambda unet: _fill(unet.conv_out, 0.0),
        "UNet of NaN": lambda unet: _fill(unet, float("nan")),
        "UNet deaf to its prompt": _deafen,
    }


def _write_broken(folder: Path, harm: Break) -> None:
    """A copy of the miniature whose UNet is changed."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(MINIATURE, partial)
    unet = UNet2DConditionModel.from_pretrained(partial / "unet")
    assert isinstance(unet, UNet2DConditionModel)
    with torch.no_grad():
        harm(unet)
    shutil.rmtree(partial / "unet")
    unet.save_pretrained(partial / "unet")
    partial.rename(folder)


def _shaken(share: float) -> Break:
    """Normal noise on each weight, of so large a share of its tensor's own spread."""

    def shake(unet: UNet2DConditionModel) -> None:
        generator = torch.Generator().manual_seed(0)
        for parameter in unet.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += share * parameter.std() * noise

    return shake


def _randomise(unet: UNet2DConditionModel) -> None:
    torch.manual_seed(0)
    unet.load_state_dict(UNet2DConditionModel.from_config(unet.config).state_dict())


def _fill(module: torch.nn.Module, value: float) -> None:
    for parameter in module.parameters():
        parameter.fill_(value)


def _deafen(unet: UNet2DConditionModel) -> None:
    for name, module in unet.named_modules():
        if name.endswith("attn2.to_v"):
            _fill(module, 0.0)


def _markdown(found: dict[str, ConceptEvaluation]) -> str:
    rows = []
    for name, evaluation in found.items():
        control = evaluation.control
        assert control
        scores = control.erased
        cells = [cell(m) for m in (evaluation.erased.ua, scores.flat, scores.variety, scores.own)]
        rows.append([name, *cells, "yes" if evaluation.collapsed else "no"])
    images = next(iter(found.values())).protocol.images["forget"]
    note = (
        f"{CONCEPT}, judged by the miniature's CLIP in {images} images, and control images: "
        "in %, with 95 % intervals."
    )
    head = ["", "ua", "flat", "variety", "own", "collapsed"]
    return f"{note}\n\n{table(head, rows)}"


if __name__ == "__main__":
    main(tyro.cli(CollapseOptions, description=__doc__))
