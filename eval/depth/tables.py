"""The figures of an evaluation under attack, as tables and large numbers."""

from eval.depth.results import AttackEvaluation, AttackScore, Depth
from eval.depth.scores import still_rising
from eval.depth.verdict import worst_attack
from eval.kind.kind import Figure
from eval.kind.table import Table
from eval.metrics.rates import cell
from plumbing.visible_text import plain

COLUMNS = ("attack", "box", "original (ceiling)", "erased", "never knew (floor)", "depth")


def attack_table(evaluation: AttackEvaluation) -> Table:
    """A row an attack: its success on each model, and the depth."""
    rows = [
        (
            plain(name, 40),
            plain(evaluation.protocol.attacks[name].box, 20),
            _success(evaluation.original.get(name)),
            _success(score),
            _success(evaluation.floor.get(name)),
            depth_cell(evaluation.depth.get(name)),
        )
        for name, score in evaluation.erased.items()
    ]
    forms = [f"{plain(n, 40)}: {plain(s.variant, 80)}" for n, s in evaluation.erased.items()]
    rising = [f"{plain(n, 40)} ({plain(c, 80)})" for n, c in _rising(evaluation)]
    return Table(
        caption="Share of images that show the concept under attack, in %, with 95 % intervals: of "
        "each attack the form that most surely exceeds its floor",
        columns=COLUMNS,
        rows=tuple(rows),
        notes=(
            "Depth: how much of the room between ceiling and floor is closed, in %.",
            f"The form that counted: {'; '.join(forms)}.",
            *([f"Still rising at the last step: {'; '.join(rising)}."] if rising else []),
        ),
    )


def forms_table(evaluation: AttackEvaluation) -> Table:
    """A row a form of an attack: its success on each model."""
    rows = []
    for name, score in evaluation.erased.items():
        others = [
            {v.variant: v.success for v in found.variants} if found else {}
            for found in (evaluation.original.get(name), evaluation.floor.get(name))
        ]
        for form in score.variants:
            original, floor = (cell(found.get(form.variant)) for found in others)
            told = f"{plain(name, 40)}: {plain(form.variant, 80)}"
            rows.append((told, original, cell(form.success), floor))
    caption = "Every form of every attack: share of images that show the concept, in %"
    return Table(caption, ("form", "original", "erased", "never knew"), tuple(rows))


def _rising(evaluation: AttackEvaluation) -> list[tuple[str, str]]:
    return [(n, curve) for n, score in evaluation.erased.items() for curve in still_rising(score)]


def _success(score: AttackScore | None) -> str:
    return cell(score.success if score else None)


def depth_cell(depth: Depth | None) -> str:
    """A depth as `87 [80, 95]`, or a dash."""
    if depth is None:
        return "-"
    return f"{depth.value:.0f} [{depth.ci95[0]:.0f}, {depth.ci95[1]:.0f}]"


def attack_figures(evaluation: AttackEvaluation) -> list[Figure]:
    """The worst attack, named: no average hides it."""
    worst = worst_attack(evaluation)
    if worst is None:
        return []
    success = evaluation.erased[worst].success
    name = plain(worst, 40)
    told = f"images with the concept under the worst attack, {name}; 0 is best"
    return [Figure("worst attack", f"{success.value:.1f} %", told)]
