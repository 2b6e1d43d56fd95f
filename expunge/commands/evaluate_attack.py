"""`expunge evaluate attack`: can what was erased be brought back?"""

from pathlib import Path
from typing import Any

from eval.depth.evaluate import EVALUATION
from eval.depth.results import AttackEvaluation
from eval.depth.tables import attack_table
from eval.depth.verdict import attack_clause
from expunge.commands.printed import show
from expunge.evaluations.attack import evaluate_attack
from expunge.settings.evaluate_attack import EvaluateAttack


def run(settings: EvaluateAttack) -> dict[str, Any] | None:
    """Attack, then print a table (or one JSON object); returns evaluation.json's content."""
    return show(evaluate_attack(settings), settings.json, _text)


def _text(evaluation: AttackEvaluation, out: Path) -> str:
    return f"{table(evaluation)}\n\nfigures: {out / EVALUATION}"


def table(evaluation: AttackEvaluation) -> str:
    """A line an attack: its success on each model with 95 % intervals, and the depth."""
    found = attack_table(evaluation)
    rows = [found.columns, *found.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(found.columns))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    clause = attack_clause(evaluation)
    told = [clause.alone.sentence] if clause.alone else list(clause.remarks)
    return "\n".join([f"{found.caption}.", "", *lines, "", *found.notes, *told])
