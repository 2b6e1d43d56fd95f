"""Every attack that is missing, made; several processes share them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.attack.attack import Aim
from eval.attack.attackable import Attackable
from eval.depth.attack_log import of_cell, read_drawn
from eval.depth.draw import Cell, draw_cell
from eval.depth.plan import Plan, Under, cost
from eval.generation.pair import NO_BAR
from eval.judges.judge import Judge
from plumbing.processes import Team

Job = tuple[str, Cell]
"""An attack on a subject."""


def make_attacks(
    cells: Sequence[Cell],
    aim: Aim,
    under: Under,
    plan: Plan,
    judge: Judge,
    *,
    keep_images: bool,
    team: Team,
) -> None:
    """Make what is missing, under one bar; returns when every process has made its share.

    One process makes an attack on a model from its first step to its last image, as it would alone:
    so that several come to the same bits, if each has as many threads.
    """
    jobs, steps = list(under.jobs(cells)), plan.drawing.steps
    missing = _missing(jobs, under, judge)
    # Nobody draws before all have seen what is missing.
    team.wait()
    mine = [missing[i] for i in team.share([cost(cell, steps) for _, cell in missing])]
    left, own = (sum(cost(cell, steps) for _, cell in some) for some in (missing, mine))
    done = sum(cost(cell, steps) for _, cell in jobs) - left
    opened: Mapping[str, Attackable] = {"original": aim.original}
    with under.open_bar(done + own, done) if team.leads else NO_BAR as bar:
        for role, cell in mine:
            spent = [0]

            def count(more: int, spent: list[int] = spent) -> None:
                spent[0] += more
                bar.update(more)

            if role not in opened:
                # One beside the original at a time: each is a whole model.
                opened = {"original": aim.original, role: under.subjects[role].open()}
            draw_cell(
                cell,
                opened[role],
                aim,
                under.folder(role),
                count,
                judge,
                keep_images=keep_images,
                rank=team.rank,
            )
            bar.update(max(0, cost(cell, steps) - spent[0]))
    team.wait()


def _missing(jobs: Sequence[Job], under: Under, judge: Judge) -> list[Job]:
    """Those of which an image is missing; of two that are one, as where a floor is the original."""
    roles = dict.fromkeys(role for role, _ in jobs)
    there = {
        role: read_drawn(under.folder(role), under.subjects[role].sha256, judge.sha256)
        for role in roles
    }
    found: dict[tuple[Path, str], Job] = {}
    for role, cell in jobs:
        if len(of_cell(there[role], cell.key)) < cell.images:
            found.setdefault((under.folder(role), cell.key), (role, cell))
    return list(found.values())
