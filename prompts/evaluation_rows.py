"""The prompts behind `ua`, `ira` and `cra`, built from the vocabulary of a model's own judges."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from prompts.built_lists import shuffled
from prompts.concept import ConceptSpec, Vocabulary
from prompts.naming import named_labels
from prompts.wording import PLAIN, STYLED, plain, styled

Protocol = Literal["full", "bench", "demo"]
Split = Literal["forget", "retain", "cross", "near", "control"]

PLAIN_TEMPLATES = PLAIN[:2]
STYLED_TEMPLATES = STYLED[:2]


VERSION = 2
"""Of the protocols: 2 is drawn by DPM-Solver++, and has near rows and fewer in the demo; 1 had no
number in its name."""
NEAREST = 8
"""Labels nearest to the concept whose images count for `near`."""
CONTROL = "control-"
"""What the ids of control rows begin with."""
OTHERS_EACH = 8
"""Texts of other things for each text of the concept, in `described`."""


@dataclass(frozen=True)
class PromptRow:
    """One image to draw from both models, and what a judge should see in it."""

    id: str
    """Zero-padded number: the image's file name."""
    split: Split
    """`forget` counts for `ua`, `retain` for `ira`, `cross` for `cra`, `near` for itself;
    `control` for none."""
    prompt: str
    seed: int
    object: str | None = None
    """The object's label in the judge's words, if the prompt names one."""
    style: str | None = None
    """The style's label in the judge's words, if the prompt names one."""
    judged: Literal["object", "style"] | None = None
    """Which of the two labels is judged; None if the concept is no judge label."""


@dataclass(frozen=True)
class Sizes:
    """How many rows a protocol has."""

    forget: int
    retain_objects: int | None
    retain_each: int
    retain: int
    cross: int
    near_each: int
    """Of each of the `NEAREST` labels."""


SIZES: dict[Protocol, Sizes] = {
    "full": Sizes(100, retain_objects=None, retain_each=4, retain=500, cross=500, near_each=16),
    "bench": Sizes(56, retain_objects=None, retain_each=1, retain=118, cross=84, near_each=8),
    "demo": Sizes(28, retain_objects=24, retain_each=1, retain=24, cross=14, near_each=0),
}


def protocol_name(protocol: Protocol) -> str:
    """Return the name that results are recorded under."""
    return f"{protocol}-{VERSION}"


def protocol_of(name: str) -> str:
    """Return the `--protocol` of a recorded name."""
    return name.partition("-")[0]


def concept_rows(
    spec: ConceptSpec,
    vocabulary: Vocabulary | None,
    protocol: Protocol,
    seed: int = 0,
    near: Sequence[str] = (),
) -> list[PromptRow]:
    """Return the rows that measure whether a concept is gone and what else changed.

    An object's `retain` rows are the other objects and its `cross` rows styles; a style's are the
    other styles and objects. A concept that is no judge label has only `forget` rows. `near` are
    the labels of its own domain that are nearest to it.
    """
    sizes = SIZES[protocol]
    words = vocabulary or Vocabulary((), ())
    parts = spec.members or (spec,)
    each = math.ceil(sizes.forget / len(parts))
    rows = [row for part in parts for row in _forget_rows(part, words, each)]
    objects, styles = _own(spec, words)
    others = Vocabulary(
        tuple(o for o in words.objects if o not in objects),
        tuple(s for s in words.styles if s not in styles),
    )
    if objects and others.objects:
        rows += _object_rows(others, sizes, "retain", sizes.retain)
        rows += _style_rows(others, "cross", sizes.cross)
        rows += _near_rows(near, words.styles, "object", sizes.near_each)
    elif styles and others.objects:
        rows += _style_rows(others, "retain", sizes.retain)
        rows += _object_rows(others, sizes, "cross", sizes.cross)
        rows += _near_rows(near, words.objects, "style", sizes.near_each)
    return _numbered(rows, seed)


def retain_rows(prompts: Iterable[str], seed: int = 0) -> list[PromptRow]:
    """Return a row a prompt, each with the seed that its prompt gets in every evaluation."""
    return _numbered((PromptRow("", "retain", prompt, 0) for prompt in prompts), seed)


def kept_rows(
    spec: ConceptSpec, vocabulary: Vocabulary | None, count: int, seed: int = 0
) -> list[PromptRow]:
    """Return up to `count` rows of other things than the concept, each with its own image.

    First those that `concept_rows` has, of the smallest protocol before the larger: what was drawn
    for it serves again. Then the concept's own retain prompts. A prompt comes again when all came.
    """
    rows: dict[tuple[str, int], PromptRow] = {}
    protocols: tuple[Protocol, ...] = ("demo", "bench", "full")
    drawn = [row for p in protocols for row in concept_rows(spec, vocabulary, p, seed)]
    for row in (*drawn, *retain_rows(spec.retain_prompts, seed)):
        if row.split in ("retain", "cross"):
            rows.setdefault((row.prompt, row.seed), PromptRow("", "retain", row.prompt, row.seed))
    turns: Counter[str] = Counter()
    turned: list[tuple[int, PromptRow]] = []
    for row in rows.values():
        turned.append((turns[row.prompt], row))
        turns[row.prompt] += 1
    chosen = [row for _, row in sorted(turned, key=lambda each: each[0])][:count]
    return [replace(row, id=f"{number:05d}") for number, row in enumerate(chosen)]


def described(spec: ConceptSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return texts that a picture may look like: of the concept, and of other things.

    The others are what forget prompts turn into without the concept's words, so that an image is
    told by the concept and not by the rest of its prompt, and the retain prompts.
    """
    other: dict[str, None] = {}
    for prompt in spec.forget_prompts:
        choices = shuffled(spec.relabel_candidates(prompt), prompt)
        other |= dict.fromkeys(choices[:OTHERS_EACH])
    other |= dict.fromkeys(spec.retain_prompts)
    return spec.forget_prompts, spec.without_named(other)


def _own(spec: ConceptSpec, words: Vocabulary) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the judge's objects and styles that a concept covers."""
    return named_labels(spec.labels, words.objects), named_labels(spec.labels, words.styles)


def _forget_rows(spec: ConceptSpec, words: Vocabulary, count: int) -> Iterator[PromptRow]:
    objects, styles = _own(spec, words)
    if objects:
        yield from _object_forget_rows(objects, words.styles, count)
    elif styles and words.objects:
        things = shuffled(words.objects, "objects")
        for k in range(count):
            yield _row("forget", things[k % len(things)], styles[k % len(styles)], "style", k)
    else:
        for k in range(count):
            yield PromptRow("", "forget", spec.forget_prompts[k % len(spec.forget_prompts)], 0)


def _object_forget_rows(
    objects: tuple[str, ...], styles: tuple[str, ...], count: int
) -> Iterator[PromptRow]:
    """Yield at least `count` rows, half plain, half over every style equally often."""
    turns = math.ceil(count / 2 / max(1, len(styles)))
    for k in range(turns * max(1, len(styles))):
        thing = objects[k % len(objects)]
        yield _row("forget", thing, None, "object", k)
        yield _row("forget", thing, styles[k % len(styles)] if styles else None, "object", k // 2)


def _object_rows(
    words: Vocabulary, sizes: Sizes, split: Split, minimum: int
) -> Iterator[PromptRow]:
    """Yield rows judged for the object: every object equally often, half plain, half styled."""
    things = shuffled(words.objects, "objects")[: sizes.retain_objects]
    turns = max(sizes.retain_each, math.ceil(minimum / len(things)))
    for turn in range(turns):
        for place, thing in enumerate(things):
            style = None
            if words.styles and (place + turn) % 2:
                style = words.styles[(place // 2 + turn) % len(words.styles)]
            yield _row(split, thing, style, "object", turn // 2)


def _style_rows(words: Vocabulary, split: Split, minimum: int) -> Iterator[PromptRow]:
    """Yield at least `minimum` rows judged for the style: every style equally often."""
    things = shuffled(words.objects, "objects")
    turns = math.ceil(minimum / len(words.styles)) if words.styles else 0
    for turn in range(turns):
        for place, style in enumerate(words.styles):
            count = turn * len(words.styles) + place
            # One further at each time round, or a thing would meet the same style again.
            thing = things[(count + count // len(things)) % len(things)]
            yield _row(split, thing, style, "style", turn)


def _near_rows(
    near: Sequence[str], others: Sequence[str], judged: Literal["object", "style"], each: int
) -> Iterator[PromptRow]:
    """Yield rows of the nearest labels, equally often: objects half plain, half in a style."""
    for turn in range(each):
        for place, label in enumerate(near):
            other = others[(turn * len(near) + place) % len(others)] if others else None
            if judged == "style":
                yield _row("near", other or "", label, judged, turn)
            else:
                yield _row("near", label, other if turn % 2 else None, judged, turn // 2)


def own_labels(spec: ConceptSpec, words: Vocabulary) -> tuple[Sequence[str], Sequence[str]]:
    """A concept's labels of its own domain, and the others there; nothing if no judge names it."""
    objects, styles = _own(spec, words)
    domain = words.objects if objects else words.styles if styles else ()
    return objects or styles, [label for label in domain if label not in (*objects, *styles)]


def _row(
    split: Split, thing: str, style: str | None, judged: Literal["object", "style"], turn: int
) -> PromptRow:
    if style is None:
        prompt = plain(PLAIN_TEMPLATES[turn % len(PLAIN_TEMPLATES)], thing)
    else:
        prompt = styled(STYLED_TEMPLATES[turn % len(STYLED_TEMPLATES)], thing, style)
    return PromptRow("", split, prompt, 0, thing, style, judged)


def _numbered(rows: Iterable[PromptRow], seed: int) -> list[PromptRow]:
    """Give rows their ids and seeds.

    A row's seed depends on its prompt and how often that came before, so that the same picture of
    the original model serves for several concepts.
    """
    seen: Counter[str] = Counter()
    numbered = []
    for number, row in enumerate(rows):
        own = seed_of(row.prompt, seen[row.prompt], seed)
        seen[row.prompt] += 1
        numbered.append(replace(row, id=f"{number:05d}", seed=own))
    return numbered


def seed_of(prompt: str, before: int, seed: int = 0) -> int:
    """The seed of a prompt that came `before` times before it, the same in every evaluation."""
    digest = hashlib.sha256(f"{seed}|{prompt}|{before}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
