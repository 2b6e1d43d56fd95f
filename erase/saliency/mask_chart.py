"""Where a mask lies: its share by block and by kind of layer, as numbers and a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

from plumbing.whole_files import replace_file

_KINDS = {"attn1": "self-attention", "attn2": "cross-attention", "conv": "convolution"}


class Counted(Protocol):
    """What is known of a mask without its bits, so that reading it needs no torch."""

    @property
    def kept(self) -> int:
        """How many weights are selected."""
        ...

    @property
    def total(self) -> int:
        """How many weights the mask is about."""
        ...

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Selected and total weights by parameter name."""
        ...


@dataclass(frozen=True)
class Share:
    """How much of a part of the model a mask selects."""

    part: str
    kept: int
    total: int

    @property
    def percent(self) -> float:
        """Selected weights in percent of the part's."""
        return 100 * self.kept / self.total


def block_of(name: str) -> str:
    """The block of a parameter: `down_blocks.1`, `mid_block`, `conv_in`, `transformer_blocks.7`."""
    found = re.match(r"\w+_blocks\.\d+|\w+", name)
    return found[0] if found else name


def kind_of(name: str) -> str:
    """The kind of layer: self-attention, cross-attention, convolution, or other."""
    found = re.search(r"attn[12]|conv", name)
    return _KINDS[found[0]] if found else "other"


def summarise(mask: Counted) -> tuple[list[Share], list[Share]]:
    """Shares by block in the order of data flow, and by kind of layer, largest first."""
    counts = mask.counts()
    blocks, kinds = {}, {}
    for name, (kept, total) in counts.items():
        for table, part in ((blocks, block_of(name)), (kinds, kind_of(name))):
            before = table.get(part, Share(part, 0, 0))
            table[part] = Share(part, before.kept + kept, before.total + total)
    flow = ("conv_in", "time", "down", "mid", "up", "conv")
    in_flow = sorted(blocks.values(), key=lambda s: (_place(s.part, flow), s.part))
    return in_flow, sorted(kinds.values(), key=lambda share: -share.total)


def _place(part: str, flow: tuple[str, ...]) -> int:
    return next((i for i, prefix in enumerate(flow) if part.startswith(prefix)), len(flow))


def draw_mask(mask: Counted, path: Path) -> None:
    """A PNG of two bar charts: the share selected by block, and by kind of layer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    charts = figure.subplots(1, 2, sharex=True)
    titles = ("by block", "by kind of layer")
    for chart, title, shares in zip(charts, titles, summarise(mask), strict=True):
        bars = chart.barh([s.part for s in shares], [s.percent for s in shares], color="#3b6ea5")
        chart.bar_label(
            bars, [f"{s.percent:.0f} % of {s.total:,}" for s in shares], padding=3, size=8
        )
        chart.invert_yaxis()
        chart.set(
            title=title, xlabel="weights selected, %", xlim=(0, 140), xticks=range(0, 101, 25)
        )
        chart.axvline(100 * mask.kept / mask.total, color="#b5482a", linewidth=1)
    figure.suptitle(f"{mask.kept:,} of {mask.total:,} weights may change (line: overall share)")
    picture = BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    replace_file(path, picture.getvalue())
