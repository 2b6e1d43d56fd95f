"""What is to be erased: a concept with its forget, relabel and retain prompts."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

from plumbing.errors import UsageError
from plumbing.text_file import require_plain
from prompts.built_lists import BuiltPrompts, for_object, for_probes, for_style, for_unknown
from prompts.concept_file import LONGEST_NAME, ConceptFile, concept_path, read_concept_file
from prompts.lookup import look_up
from prompts.naming import fold, named_labels, names_any, normalise
from prompts.prompt_list import left_over
from prompts.wording import replace_words

Kind = Literal["object", "style", "other"]


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
    probes: tuple[str, ...] = ()
    """Other ways to ask for it, none of them a forget prompt: attacks try them."""
    distinct: tuple[str, ...] = ()
    """Other labels of the vocabulary that merely contain the concept's words."""
    members: tuple["ConceptSpec", ...] = ()
    """The single concepts, when several are erased at once."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return what each single concept is called."""
        return tuple(member.name for member in self.members) or (self.name,)

    def member_of(self, forget_prompt: str) -> "ConceptSpec":
        """Return the single concept whose forget prompt this is."""
        return next((m for m in self.members if forget_prompt in m.forget_prompts), self)

    def named_in(self, prompt: str) -> bool:
        """Tell whether a prompt names the concept, by any of its words in singular or plural."""
        return names_any(prompt, self.labels, self.distinct)

    def without_named(self, prompts: Iterable[str]) -> tuple[str, ...]:
        """Return the prompts that do not name the concept, each once, in order."""
        return tuple(p for p in dict.fromkeys(prompts) if not self.named_in(p))

    def to_keep(
        self,
        texts: Sequence[str],
        where: str,
        noun: str = "prompts",
        forgotten: Sequence[str] | None = None,
    ) -> tuple[str, ...]:
        """Return those of a user's texts, found at `where`, that can be retained.

        Those that name the concept, and those to be forgotten (the forget prompts unless given),
        are left out, and how many is said. UsageError if none is left.
        """
        same = set(map(fold, self.forget_prompts if forgotten is None else forgotten))
        kept = tuple(t for t in texts if not self.named_in(t) and fold(t) not in same)
        return left_over(kept, texts, where, self.name, noun)

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
        pool = self.member_of(forget_prompt).relabel_prompts
        return tuple(p for p in self.without_named(pool) if p != forget_prompt) or (
            self.relabel_prompts
        )

    def in_turn(self) -> tuple[str, ...]:
        """Return the forget prompts, of several concepts one of each in turn.

        So each has as many as the others of the first few, which a small set is drawn of.
        """
        own: dict[ConceptSpec, list[str]] = {}
        for prompt in self.forget_prompts:
            part = self.member_of(prompt)
            naming = (m for m in self.members if part is self and m.named_in(prompt))
            own.setdefault(next(naming, part), []).append(prompt)
        rounds = zip_longest(*own.values())
        return tuple(p for prompts in rounds for p in prompts if p is not None)

    def reworded(self, forget_prompt: str, words: str) -> str:
        """Return a forget prompt with other words for the concept's; without any, these alone."""
        if not self.named_in(forget_prompt):
            return words
        return replace_words(forget_prompt, self.labels, words)


def load_concept(text: str, vocabulary: Vocabulary | None = None) -> ConceptSpec:
    """Read a concept: a shipped name, a path to a TOML file, or free text.

    With the vocabulary of a model, prompts that the concept's file leaves out are built from it.
    Raises UsageError for a blank concept, a missing file, or a file that breaks the rules.
    """
    name = _unquoted(" ".join(text.split()))
    # Letters, digits and signs such as emoji say something.
    if not any(c[0] in "LN" or c == "So" for c in map(unicodedata.category, name)):
        raise UsageError("CONCEPT is empty: name one, for example `church`, or give a .toml file")
    require_plain("CONCEPT", name, LONGEST_NAME)
    if path := concept_path(_unquoted(text.strip())):
        return _build(read_concept_file(path), str(path), vocabulary, told=str(path))
    words = vocabulary or Vocabulary((), ())
    return _build(*look_up(name, words.objects, words.styles), vocabulary)


def _unquoted(text: str) -> str:
    """Without the quotation marks that a shell, such as Windows' own, leaves around a word."""
    pairs = ("''", '""', "\u2018\u2019", "\u201c\u201d")
    return text[1:-1].strip() if len(text) > 2 and text[0] + text[-1] in pairs else text


def combine(specs: Sequence[ConceptSpec]) -> ConceptSpec:
    """Join concepts that are erased at once; nothing retained names any of them.

    Raises UsageError if nothing is left to relabel to or to retain.
    """
    specs = tuple(dict.fromkeys(specs))
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
        probes=_merge(s.probes for s in specs),
        distinct=distinct,
        members=tuple(specs),
    )


def _merge(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(lists)))


def _build(
    file: ConceptFile, source: str, vocabulary: Vocabulary | None, told: str | None = None
) -> ConceptSpec:
    """Fill in what a concept file leaves out, from the vocabulary or from templates.

    What is left out of the lists of a user's own file is told of, by the name `told`.
    """
    labels = _merge([[file.name], file.synonyms])
    own, others, built = _built(file, labels, vocabulary or Vocabulary((), ()))
    kind: Kind = "object" if own.objects else "style" if own.styles else file.kind or "other"
    matched = bool(own.objects or own.styles)
    listed = (*others.objects, *others.styles)
    distinct = tuple(x for x in listed if matched and names_any(x, labels))
    forgotten = set(map(fold, file.forget))
    forget = file.forget or built.forget

    def other(prompts: Iterable[str], key: str, written: bool) -> tuple[str, ...]:
        given = tuple(dict.fromkeys(prompts))
        kept = tuple(
            p for p in given if not names_any(p, labels, distinct) and fold(p) not in forgotten
        )
        where = f"CONCEPT: {key} in {told}"
        return left_over(kept, given, where, file.name) if told and written else kept

    if file.fixed_relabel and not other([file.fixed_relabel], "fixed_relabel", written=True):
        raise UsageError(
            f"CONCEPT: fixed_relabel names {file.name}; give a prompt of another thing"
        )
    relabel = other(file.relabel or built.relabel, "relabel", bool(file.relabel))
    relabel = _some(relabel, "relabel to", labels)
    retain = other(file.retain or built.retain, "retain", bool(file.retain))
    substitutes = file.substitutes or (() if file.relabel else built.substitutes)
    return ConceptSpec(
        name=file.name,
        kind=kind,
        labels=labels,
        forget_prompts=forget,
        relabel_prompts=relabel,
        substitutes=other(substitutes, "substitutes", bool(file.substitutes)),
        fixed_relabel_prompt=file.fixed_relabel or built.fixed_relabel or relabel[0],
        retain_prompts=_some(retain, "retain", labels),
        detector=file.detector,
        source=source,
        probes=_probes(file, labels, kind, forget),
        distinct=distinct,
    )


def _probes(
    file: ConceptFile, labels: tuple[str, ...], kind: Kind, forget: Sequence[str]
) -> tuple[str, ...]:
    """The file's own or, without any, those that are built; none of the forget prompts."""
    trained = set(map(fold, forget))
    probes = file.probes or for_probes(labels, is_style=kind == "style")
    return tuple(p for p in probes if fold(p) not in trained)


def _built(
    file: ConceptFile, labels: tuple[str, ...], words: Vocabulary
) -> tuple[Vocabulary, Vocabulary, BuiltPrompts]:
    """The labels of the vocabulary that are the concept's own, the others, and prompts of both."""
    own = Vocabulary(named_labels(labels, words.objects), named_labels(labels, words.styles))
    others = Vocabulary(
        tuple(o for o in words.objects if o not in own.objects),
        tuple(s for s in words.styles if s not in own.styles),
    )
    if own.objects:
        built = for_object(own.objects, others.objects, words.styles)
    elif own.styles:
        built = for_style(own.styles, words.objects, others.styles)
    else:
        built = for_unknown(file.name, file.kind == "style", words.objects, words.styles)
    return own, others, built


def _some(prompts: tuple[str, ...], purpose: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the prompts; UsageError if none is left."""
    if not prompts:
        raise UsageError(
            f"CONCEPT: no prompt is left to {purpose}: all of them name {' or '.join(labels)};"
            " name less, or list other prompts in a .toml file"
        )
    return prompts
