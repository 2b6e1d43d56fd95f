"""Which concept a user names: a shipped one, a label of the model's own judges, or neither."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches

from prompts.concept_file import ConceptFile, read_concept_file, shipped_concepts
from prompts.naming import named_labels, normalise, spelled, without_article

log = logging.getLogger(__name__)
FREE_TEXT = "free text"
_STYLE = (
    r"(?:in )?(?:the )?style of (?P<a>\S.*)",
    r"(?:an? |the )?(?:painting|drawing|artwork|art|work|picture)s? by (?P<b>\S.*)",
    r"(?P<c>.*?\S)(?:['\u2019]s)?[\s_-]style",
)


def style_named(name: str) -> str | None:
    """`van gogh` of `in the style of Van Gogh`, `Van Gogh's style` and the like; else None."""
    found = re.fullmatch("|".join(_STYLE), name, re.IGNORECASE)
    return without_article(found["a"] or found["b"] or found["c"]) if found else None


def look_up(name: str, objects: Sequence[str], styles: Sequence[str]) -> tuple[ConceptFile, str]:
    """What is known of a concept, and its source: `shipped:NAME` or `free text`.

    A shipped concept's name comes first, then the labels, which are the model's own words, then
    what a shipped file lists as synonyms. Words for a style find styles alone.
    """
    style = style_named(name)
    files = {stem: read_concept_file(path) for stem, path in shipped_concepts().items()}
    of_style = [stem for stem, file in files.items() if file.kind == "style"]
    if stem := _first(name, list(files)) or _first(style, of_style):
        return files[stem], f"shipped:{stem}"
    kind = "other" if style is None else "style"
    if label := _first(name, (*objects, *styles)) or _first(style, styles):
        own = style or without_article(name)
        same = spelled(own) == spelled(label)
        return ConceptFile(name=own if same else label, kind=kind), FREE_TEXT
    listed = {synonym: stem for stem, file in files.items() for synonym in file.synonyms}
    of_style = [synonym for synonym, stem in listed.items() if files[stem].kind == "style"]
    if synonym := _first(name, list(listed)) or _first(style, of_style):
        return _by_synonym(synonym, listed[synonym], files[listed[synonym]])
    _tell_near(name, (*files, *objects, *styles), listed)
    return ConceptFile(name=style or re.sub(r"(?i)^an? (?=\S)", "", name), kind=kind), FREE_TEXT


def _first(name: str | None, labels: Sequence[str]) -> str | None:
    return next(iter(named_labels([name], labels)), None) if name else None


def _by_synonym(synonym: str, stem: str, file: ConceptFile) -> tuple[ConceptFile, str]:
    """A shipped concept called by another of its words, which is said.

    Its own prompts are taken; where it has none, they are built of the word that was given.
    """
    if file.forget:
        log.info("%r is taken as the shipped concept %s, whose file lists it", synonym, file.name)
    else:
        others = (file.name, *(each for each in file.synonyms if each != synonym))
        file = replace(file, name=synonym, synonyms=others)
        log.info(
            "%r: nothing of the shipped concept %s, whose file lists it, is retained", synonym, stem
        )
    return file, f"shipped:{stem}"


def _tell_near(name: str, names: Iterable[str], synonyms: Iterable[str]) -> None:
    # A word for a thing is not to be told from afar that it looks like "naked".
    lists = ((names, 0.75), (synonyms, 0.85))
    asked = normalise(name)
    found = (get_close_matches(asked, list(known), 3, cutoff) for known, cutoff in lists)
    near = [each for some in found for each in some]
    if near:
        told = " or ".join(dict.fromkeys(near))
        log.warning("%r is taken as free text; did you mean %s?", name, told)
