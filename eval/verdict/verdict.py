"""One sentence on a run, from what each of its evaluations says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from plumbing.visible_text import plain

Level = Literal["good", "caution", "bad", "none"]


@dataclass(frozen=True)
class Verdict:
    """A level for the colour, a word that says the same, one sentence, and remarks."""

    level: Level
    word: str
    sentence: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clause:
    """What one evaluation adds to the verdict on a run."""

    sought: str
    """What it looked for in the images."""
    alone: Verdict | None = None
    """What it says by itself; the first evaluation that says anything decides."""
    remarks: tuple[str, ...] = ()
    """What is said of it beside the verdict of another."""
    objection: Verdict | None = None
    """What a good verdict of another becomes; its sentence is added to that one's."""
    broken: Sequence[str] = ()
    """What says that the erased model draws nothing right."""
    knows_depth: bool = False
    """Whether it attacked the model, and so can tell what was removed from what was hidden."""
    knows_rest: bool = False
    """Whether it names other things in the images, and so knows better than any such sign."""


@dataclass(frozen=True)
class Rules:
    """The rules that a kind of evaluation brings; in each part the first that applies decides."""

    decide: tuple[str, ...] = ()
    """By which it comes to a verdict that is not good."""
    object: tuple[str, ...] = ()
    """By which it takes the good verdict of another back."""
    last: tuple[str, ...] = ()
    """By which it says what it says if none of those before applies."""


NOTHING_ERASED = (
    "Nothing erased: this is a mask alone, or the training was rolled back to its beginning, so "
    "that the weights are the original's."
)


def in_order(rules: Iterable[Rules]) -> list[str]:
    """All rules as the page prints them: the first that applies decides."""
    parts = [(r.decide, r.object, r.last) for r in rules]
    return [
        NOTHING_ERASED,
        *(text for part in zip(*parts, strict=True) for t in part for text in t),
    ]


def judge(clauses: Sequence[Clause]) -> Verdict:
    """The verdict on a run, from the clauses of its evaluations in the order of their kinds."""
    broken = [plain("; ".join(c.broken), 1000) for c in clauses if c.broken]
    if broken and not any(clause.knows_rest for clause in clauses):
        sought = plain(clauses[0].sought, 80)
        sentence = f"The model is broken: {broken[0]}. That it shows no {sought} is no success."
        return Verdict("bad", "Collapsed", sentence)
    verdict = next((clause.alone for clause in clauses if clause.alone), None)
    if verdict is None:
        return _NOTHING
    others = [clause for clause in clauses if clause.alone is not verdict]
    remarks = (*verdict.remarks, *(remark for c in others for remark in c.remarks))
    objections = [clause.objection for clause in others if clause.objection]
    if objections and (verdict.level == "good" or _outweighs(objections[0], verdict)):
        sentence = " ".join([verdict.sentence, *(o.sentence for o in objections)])
        return Verdict(objections[0].level, objections[0].word, sentence, remarks)
    if verdict.level == "good" and not any(clause.knows_depth for clause in clauses):
        return Verdict(
            "caution",
            "Erased at its prompts, depth not tested",
            f"{verdict.sentence} Whether an attack brings it back was not tested.",
            remarks,
        )
    return replace(verdict, remarks=remarks)


def _outweighs(objection: Verdict, verdict: Verdict) -> bool:
    return (objection.level, verdict.level) == ("bad", "caution")


_NOTHING = Verdict(
    "none",
    "Not measured",
    "Nothing was measured: no evaluation of this run is there, so nothing is claimed.",
)
