"""`expunge evaluate attack` as a kind of evaluation."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eval.depth.charts import attack_charts
from eval.depth.comparison import COMPARISON
from eval.depth.results import AttackEvaluation, Attempt, read_attacks
from eval.depth.tables import attack_figures, attack_table, forms_table
from eval.depth.verdict import NO_ATTACK, RULES, attack_clause
from eval.kind.kind import Kind
from eval.kind.measurement import Measurement
from eval.kind.pictures import Gallery, Shot, make_strips
from eval.kind.protocol_line import drawing_line
from eval.kind.rows import parsed
from plumbing.record import parse_record
from plumbing.visible_text import plain

SHOWN = 6
"""Noises an attack, four images each."""
_PAIR = ("original", "erased")


def _protocol(evaluation: AttackEvaluation) -> str:
    protocol = evaluation.protocol
    judges = ", ".join(f"{j['name']} ({j['sha256'][:12]})" for j in evaluation.judges.values())
    name = f"budget {plain(protocol.name, 40)}, {protocol.repetitions} repetitions"
    drawn = drawing_line(name, protocol).replace("images a model", "images a form of an attack")
    floor = evaluation.models.get("floor")
    told = f"floor: {plain(floor['name'], 60)}" if floor else "no floor was given"
    return f"{drawn}; {told}; judged by {judges}."


def _flags(evaluation: AttackEvaluation) -> dict[str, Any]:
    protocol, floor = evaluation.protocol, evaluation.models.get("floor")
    return {
        "attacks": tuple(name for name in protocol.attacks if name != NO_ATTACK),
        "budget": protocol.name,
        "floor": floor and floor["name"],
        "images": protocol.images,
        "repetitions": protocol.repetitions,
        "steps": protocol.steps,
        "guidance_scale": protocol.guidance_scale,
        "prompts": protocol.prompts,
        "seed": protocol.seed,
        "detector": protocol.detector,
    }


def _read_attempts(place: Path, problems: list[str]) -> tuple[Attempt, ...]:
    return tuple(parsed(place / "attempts.jsonl", partial(parse_record, Attempt), problems))


def _galleries(found: Measurement) -> list[Gallery]:
    """Of each attack the form that counts: the first images, whatever they show."""
    seen = {(row.id, row.model): _seen(row) for row in found.rows}
    plain_ids = {r.image: r.id for r in reversed(found.rows) if r.attack == NO_ATTACK}
    galleries = []
    for name, score in found.evaluation.erased.items():
        if name == NO_ATTACK:
            continue
        own = [r for r in found.rows if r.attack == name and r.model == "erased"]
        best = [r for r in own if r.variant == score.variant] or _first_hits(own)
        strips = [_strip(plain_ids.get(r.image), r.id) for r in best[:SHOWN]]
        title = plain(found.evaluation.protocol.attacks[name].title, 60)
        caption = (
            f"{plain(score.variant, 80)}: the first {len(strips)} noises, chosen by number; above "
            "the concept's prompt alone, below the attack."
        )
        galleries.append(make_strips(title, caption, found, strips, seen=seen))
    return galleries


def _first_hits(rows: Sequence[Attempt]) -> list[Attempt]:
    """Of each image the first form that shows the concept, else the last."""
    best: dict[tuple[int, int], Attempt] = {}
    for row in rows:
        known = best.get((row.seed, row.image))
        if known is None or not known.hit:
            best[row.seed, row.image] = row
    return list(best.values())


def _strip(prompt: str | None, attacked: str) -> list[Shot]:
    """The original and the erased model at the concept's prompt, then both under the attack."""
    alone = [Shot(model, prompt, model) for model in _PAIR] if prompt else []
    return alone + [Shot(model, attacked, f"{model}, attacked") for model in _PAIR]


def _seen(row: Attempt) -> str:
    return "shows it" if row.hit else plain(row.label, 40)


def _limits(evaluation: AttackEvaluation) -> list[str]:
    told = []
    if "floor" not in evaluation.models:
        told.append(
            "Floors: no model that never knew the concept was attacked (--floor). A learned word "
            "may be learned anew, and attacks that show the model pictures decide nothing."
        )
    if evaluation.protocol.name == "quick":
        told.append("Longer attacks: these are the quick budget's; a stronger one may reach more.")
    return told


ATTACK = Kind(
    name="attack",
    title="Attacks",
    unmeasured="Whether attacks bring the concept back: learned words, completion, fine-tuning.",
    read=read_attacks,
    read_rows=_read_attempts,
    protocol=_protocol,
    flags=_flags,
    clause=lambda found: attack_clause(found.evaluation),
    rules=RULES,
    heading="Can it be brought back?",
    figures=attack_figures,
    tables=lambda evaluation: [attack_table(evaluation), forms_table(evaluation)],
    charts=attack_charts,
    galleries=_galleries,
    limits=_limits,
    comparison=COMPARISON,
)
