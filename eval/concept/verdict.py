"""What a judged concept says on a run: is it gone, and what else went?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from eval.concept.kept import Kept, falls, kept_of
from eval.concept.results import ConceptEvaluation
from eval.concept.rules import ERASED_UA, HARDLY_DRAWN_UA, KEPT_FALL
from eval.metrics.schema import Metric
from eval.verdict.verdict import Clause, Verdict
from plumbing.visible_text import plain


def concept_clause(evaluation: ConceptEvaluation, chance: Mapping[str, float]) -> Clause:
    """What it adds to the verdict; `chance` is of `chances`."""
    ua, kept = evaluation.erased.ua, kept_of(evaluation, chance)
    return Clause(
        sought=evaluation.concept.name,
        alone=_judge(evaluation, ua, kept) if ua else None,
        broken=evaluation.collapsed or (),
        knows_rest=bool(kept),
    )


def _judge(evaluation: ConceptEvaluation, ua: Metric, kept: Sequence[Kept]) -> Verdict:
    name, original = plain(evaluation.concept.name, 80), evaluation.original
    before = original.ua if original else None
    drawn = f"draws {name} in {100 - ua.value:.1f} % of the images that ask for it"
    drawn += f" (the original in {100 - before.value:.1f} %)" if before else ""
    blind = [k for k in kept if k.near_chance(k.before)]
    if blind:
        return Verdict(
            "none",
            "Not measured",
            f"The judge recognises the original model's own images hardly better than chance "
            f"({_names(blind)}), so nothing can be said about {name}.",
        )
    fallen = [k for k in kept if k.collapsed]
    if fallen:
        return Verdict(
            "bad",
            "Collapsed",
            f"The model is broken: {falls(fallen)}. That it {drawn} is no success.",
        )
    if before and before.value >= HARDLY_DRAWN_UA:
        return Verdict(
            "none",
            "Hardly drawn before",
            f"The original itself draws {name} in only {100 - before.value:.1f} % of the images "
            f"that ask for it, so there was little to erase (now {100 - ua.value:.1f} %).",
        )
    if ua.value < ERASED_UA:
        return Verdict("bad", "Not erased", f"The erased model still {drawn}.")
    found = _judge_rest(ua, kept, drawn)
    return replace(found, remarks=(*_remarks(ua, kept), *_instead(name, evaluation)))


def _judge_rest(ua: Metric, kept: Sequence[Kept], drawn: str) -> Verdict:
    """What became of the rest, once the concept is gone."""
    damaged = [k for k in kept if k.moved and k.moved.value < -KEPT_FALL]
    if damaged:
        sentence = f"The erased model {drawn}, but it lost other things: {falls(damaged)}."
        return Verdict("caution", "Erased, with damage", sentence)
    if len(kept) < 2 or any(k.moved is None for k in kept):
        why = "nothing shows what else changed"
        if kept:
            why = "not all that could have changed was compared"
        sentence = f"The erased model {drawn}, but {why}."
        return Verdict("caution", "Erased, rest unproven", sentence)
    sentence = f"The erased model {drawn}, and draws other things as before: {falls(kept)}."
    return Verdict("good", "Erased", sentence)


def _instead(name: str, evaluation: ConceptEvaluation) -> tuple[str, ...]:
    """What is drawn in the concept's place, as far as it was measured; it decides nothing."""
    clear = evaluation.erased.substitute
    if clear is None:
        return ()
    return (
        f"In {clear.value:.1f} % of the images that ask for {name} the judge is sure of something "
        "else, as sure as of nine tenths of the original's images; of the rest it is less sure.",
    )


def _remarks(ua: Metric, kept: Sequence[Kept]) -> tuple[str, ...]:
    """Where a bar is met by the point estimate but not by the whole interval."""
    found = []
    if ua.ci95[0] < ERASED_UA:
        low, high = ua.ci95
        found.append(
            f"ua's 95 % interval, {low:.1f} to {high:.1f} %, reaches below the bar of "
            f"{ERASED_UA:g} %: {ua.n} images are too few to be surer."
        )
    for k in kept:
        if k.moved and k.moved.ci95[0] < -KEPT_FALL <= k.moved.value:
            found.append(
                f"{k.name} may have fallen by up to {-k.moved.ci95[0]:.1f} points "
                f"(95 % interval, {k.after.n} images), more than the {KEPT_FALL:g} allowed."
            )
    return tuple(found)


def _names(kept: Sequence[Kept]) -> str:
    return ", ".join(f"{k.name} {k.before.value:.1f} %" for k in kept if k.before)
