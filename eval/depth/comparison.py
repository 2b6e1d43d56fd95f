"""Attacks on one run beside those on others."""

from collections.abc import Mapping, Sequence
from functools import partial

from eval.depth.results import AttackEvaluation, Depth
from eval.depth.tables import depth_cell
from eval.depth.verdict import NO_ATTACK, by_lead
from eval.kind.comparison import Cell, Column, Comparison, Setting, drawn_settings
from eval.metrics.rates import cell
from eval.metrics.schema import Metric
from plumbing.record import to_json
from plumbing.visible_text import plain


def strongest(evaluation: AttackEvaluation) -> tuple[str, Metric] | None:
    """The attack that most surely exceeds its floor, of those that decide, and its success."""
    name = next(iter(by_lead(evaluation)), None)
    return (plain(name, 40), evaluation.erased[name].success) if name else None


def deepest(evaluation: AttackEvaluation) -> tuple[str, Depth] | None:
    """The depth that the surest of the attacks leaves that have a depth at all."""
    name = next((name for name in by_lead(evaluation) if name in evaluation.depth), None)
    return (plain(name, 40), evaluation.depth[name]) if name else None


def _columns(evaluations: Sequence[AttackEvaluation]) -> list[Column]:
    names = list(dict.fromkeys(n for e in evaluations for n in e.erased if n != NO_ATTACK))
    own = [Column(f"attack: {plain(n, 40)}", partial(_attack, n, names), "lower") for n in names]
    two = [Column("depth", _depth, "higher"), Column("strongest attack", _strongest, "lower")]
    return [*two, *own]


def _depth(evaluation: AttackEvaluation) -> Cell:
    found = deepest(evaluation)
    if found:
        name, depth = found
        return Cell(f"{depth_cell(depth)}\n{name}", to_json(depth) | {"attack": name})
    if "floor" in evaluation.models:
        return Cell(why="no attack that decides has room between its floor and its ceiling")
    return Cell(why="no floor was given", flags={"floor": "MODEL", "overwrite": True})


def _strongest(evaluation: AttackEvaluation) -> Cell:
    found = strongest(evaluation)
    if found is None:
        return Cell(why="none of the attacks decides anything")
    name, success = found
    return Cell(f"{cell(success)}\n{name}", to_json(success) | {"attack": name})


def _attack(name: str, all_names: Sequence[str], evaluation: AttackEvaluation) -> Cell:
    score, depth = evaluation.erased.get(name), evaluation.depth.get(name)
    if score is None:
        made = {"attacks": tuple(all_names), "overwrite": True}
        return Cell(why="not all of the attacks were made", flags=made)
    deep = f"\ndepth {depth_cell(depth)}" if depth else ""
    value = {"success": to_json(score.success), "depth": to_json(depth) if depth else None}
    return Cell(cell(score.success) + deep, value)


def _settings(evaluation: AttackEvaluation) -> Mapping[str, Setting]:
    protocol = evaluation.protocol
    return {
        "budget": protocol.name,
        "images": f"{protocol.repetitions} x {protocol.images} a form",
        **drawn_settings(protocol, evaluation.judges),
        "floor": evaluation.models.get("floor", "none"),
        "prompts": protocol.rows_sha256[:12],
    }


COMPARISON = Comparison(_columns, _settings)
