"""What is to be erased: a concept with its forget, relabel and retain prompts."""

import difflib
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from plumbing.errors import UsageError
from plumbing.text_file import read_lines, require_plain
from prompts.built_lists import for_object, for_style, for_unknown
from prompts.concept_file import LONGEST_NAME, ConceptFile, read_concept_file, shipped_concepts
from prompts.wording import names_any, normalise, replace_words

Kind = Literal["object", "style", "other"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Vocabulary:
    """The labels that a model's own judges can name."""

    objects: tuple[str, ...]
    styles: tuple[str, ...]


@dataclass(frozen=True)
class ConceptSpec:
    """A concept and every prompt that erasing it needs."""

    name: str
    """What the user called it; several concepts are joined by " + "."""
    kind: Kind
    """Whether it is a thing, a style, or neither (then only `ua` can be measured)."""
    labels: tuple[str, ...]
    """The name and its synonyms: they find the concept in prompts and in a judge's labels."""
    forget_prompts: tuple[str, ...]
    """Prompts whose images show the concept."""
    relabel_prompts: tuple[str, ...]
    """Prompts of other things, for a forget prompt that no substitute fits."""
    substitutes: tuple[str, ...]
    """Words that may stand in a forget prompt where the concept's words stood."""
    fixed_relabel_prompt: str
    """The one prompt that fixed relabelling maps every forget prompt to."""
    retain_prompts: tuple[str, ...]
    """Prompts whose images must stay as they are."""
    detector: str | None
    """The detector that the concept's file names."""
    source: str
    """Where the concept came from: `shipped:NAME`, a path, or `free text`."""
    distinct: tuple[str, ...] = ()
    """Other labels of the vocabulary that merely contain the concept's words."""
    members: tuple["ConceptSpec", ...] = ()
    """The single concepts, when several are erased at once."""

    def named_in(self, prompt: str) -> bool:
        """Tell whether a prompt names the concept (whole words, simple plurals)."""
        return names_any(prompt, self.labels, self.distinct)

    def without_named(self, prompts: Iterable[str]) -> tuple[str, ...]:
        """Return the prompts that do not name the concept, each once, in order."""
        return tuple(p for p in dict.fromkeys(prompts) if not self.named_in(p))

    def relabel_candidates(self, forget_prompt: str) -> tuple[str, ...]:
        """Return the prompts that a forget prompt may be relabelled to; never empty.

        Substitutes keep the rest of the prompt; where none applies, the pool of other prompts does.
        """
        candidates = (forget_prompt,)
        for part in self.members or (self,):
            if part.substitutes and part.named_in(forget_prompt):
                candidates = tuple(
                    replace_words(prompt, part.labels, word)
                    for prompt in candidates
                    for word in part.substitutes
                )
        kept = tuple(p for p in self.without_named(candidates) if p != forget_prompt)
        if kept:
            return kept
        pool = self._part_of(forget_prompt).relabel_prompts
        return tuple(p for p in self.without_named(pool) if p != forget_prompt) or (
            self.relabel_prompts
        )

    def _part_of(self, forget_prompt: str) -> "ConceptSpec":
        """Return the single concept whose forget prompt this is."""
        return next((m for m in self.members if forget_prompt in m.forget_prompts), self)


def load_concept(text: str, vocabulary: Vocabulary | None = None) -> ConceptSpec:
    """Read a concept: a shipped name, a path to a TOML file, or free text.

    With the vocabulary of a model, prompts that the concept's file leaves out are built from it.
    Raises UsageError for a blank concept, a missing file, or a file that breaks the rules.
    """
    name = " ".join(text.split())
    if not re.search(r"\w", name):
        raise UsageError("CONCEPT is empty: name one, for example `church`, or give a .toml file")
    require_plain("CONCEPT", name, LONGEST_NAME)
    if name.endswith(".toml"):
        path = Path(text.strip())
        return _build(read_concept_file(path), str(path), vocabulary)
    shipped = shipped_concepts()
    for stem in (normalise(name), normalise(name).removesuffix(" style")):
        if stem in shipped:
            return _build(read_concept_file(shipped[stem]), f"shipped:{stem}", vocabulary)
    return _build(_free_text(name, vocabulary), "free text", vocabulary)


def combine(specs: Sequence[ConceptSpec]) -> ConceptSpec:
    """Join concepts that are erased at once; nothing retained names any of them.

    Raises UsageError if nothing is left to relabel to or to retain.
    """
    if len(specs) == 1:
        return specs[0]
    if not specs:
        raise UsageError("CONCEPT is missing: name at least one, for example `church`")
    labels = _merge(s.labels for s in specs)
    named = {normalise(label) for label in labels}
    distinct = tuple(d for d in _merge(s.distinct for s in specs) if normalise(d) not in named)

    def kept(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
        return tuple(p for p in _merge(lists) if not names_any(p, labels, distinct))

    same_kind = len({s.kind for s in specs}) == 1
    pool = _some(kept(s.relabel_prompts for s in specs), "relabel to", labels)
    return ConceptSpec(
        name=" + ".join(s.name for s in specs),
        kind=specs[0].kind if same_kind else "other",
        labels=labels,
        forget_prompts=_merge(s.forget_prompts for s in specs),
        relabel_prompts=pool,
        substitutes=kept(s.substitutes for s in specs),
        fixed_relabel_prompt=next(iter(kept([s.fixed_relabel_prompt] for s in specs)), pool[0]),
        # A prompt that only one member retains (its own style's, say) may be another's to forget.
        retain_prompts=_some(kept(s.retain_prompts for s in specs), "retain", labels),
        detector=next((s.detector for s in specs if s.detector), None),
        source=" + ".join(s.source for s in specs),
        distinct=distinct,
        members=tuple(specs),
    )


def read_prompts(path: Path, flag: str = "--retain-prompts") -> tuple[str, ...]:
    """Read prompts from a UTF-8 text file, one a line; `#` starts a comment line.

    Raises UsageError naming the flag and file if it is missing, not UTF-8, or holds no prompt.
    """
    lines = (line.strip() for line in read_lines(path, flag))
    prompts = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not prompts:
        raise UsageError(f"{flag}: {path} holds no prompt; write one a line")
    for prompt in prompts:
        require_plain(f"{flag}: a prompt in {path}", prompt)
    return prompts


def _merge(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(lists)))


def _free_text(name: str, vocabulary: Vocabulary | None) -> ConceptFile:
    """Describe free text as a concept file that leaves everything but name and kind out."""
    plain_name = re.sub(r"(?i)^(?:in )?the style of |^style of | style$", "", name)
    kind: Kind = "style" if plain_name != name else "other"
    known = () if vocabulary is None else (*vocabulary.objects, *vocabulary.styles)
    if normalise(name) not in {normalise(label) for label in known}:
        near = difflib.get_close_matches(normalise(name), [*shipped_concepts(), *known], 3, 0.75)
        if near:
            log.warning("%r is taken as free text; did you mean %s?", name, " or ".join(near))
    return ConceptFile(name=plain_name if kind == "style" else name, kind=kind)


def _build(file: ConceptFile, source: str, vocabulary: Vocabulary | None) -> ConceptSpec:
    """Fill in what a concept file leaves out, from the vocabulary or from templates."""
    labels = _merge([[file.name], file.synonyms])
    named = {normalise(label) for label in labels}
    objects = () if vocabulary is None else vocabulary.objects
    styles = () if vocabulary is None else vocabulary.styles
    own_objects = tuple(o for o in objects if normalise(o) in named)
    own_styles = tuple(s for s in styles if normalise(s) in named)
    other_objects = tuple(o for o in objects if o not in own_objects)
    other_styles = tuple(s for s in styles if s not in own_styles)
    matched = bool(own_objects or own_styles)
    distinct = tuple(x for x in (*other_objects, *other_styles) if matched and names_any(x, labels))
    if own_objects:
        built = for_object(own_objects, other_objects, styles)
    elif own_styles:
        built = for_style(own_styles, objects, other_styles)
    else:
        built = for_unknown(file.name, file.kind == "style", objects, styles)
    kind: Kind = "object" if own_objects else "style" if own_styles else file.kind or "other"

    def unnamed(prompts: Iterable[str]) -> tuple[str, ...]:
        return tuple(p for p in dict.fromkeys(prompts) if not names_any(p, labels, distinct))

    relabel = _some(unnamed(file.relabel or built.relabel), "relabel to", labels)
    return ConceptSpec(
        name=file.name,
        kind=kind,
        labels=labels,
        forget_prompts=file.forget or built.forget,
        relabel_prompts=relabel,
        substitutes=file.substitutes or (() if file.relabel else unnamed(built.substitutes)),
        fixed_relabel_prompt=file.fixed_relabel or built.fixed_relabel or relabel[0],
        retain_prompts=_some(unnamed(file.retain or built.retain), "retain", labels),
        detector=file.detector,
        source=source,
        distinct=distinct,
    )


def _some(prompts: tuple[str, ...], purpose: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the prompts; UsageError if none is left."""
    if not prompts:
        raise UsageError(
            f"CONCEPT: no prompt is left to {purpose}: all of them name {' or '.join(labels)};"
            " name less, or list other prompts in a .toml file"
        )
    return prompts
