"""The strict reader of a concept's TOML file, and of text files in general."""

import difflib
import tomllib
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from plumbing.errors import UsageError
from plumbing.home import at_home
from plumbing.text_file import read_lines, require_plain
from prompts.naming import normalise

KINDS = ("object", "style", "other")


@dataclass(frozen=True)
class ConceptFile:
    """What a concept's TOML file may say; all that is left out is built when it is loaded."""

    name: str
    kind: Literal["object", "style", "other"] | None = None
    synonyms: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    relabel: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()
    fixed_relabel: str | None = None
    retain: tuple[str, ...] = ()
    detector: str | None = None
    probes: tuple[str, ...] = ()


LONGEST_NAME = 500
"""Characters of a concept's name; prompts may be of any length."""
LISTS = ("synonyms", "forget", "relabel", "substitutes", "retain", "probes")


@lru_cache(maxsize=1)
def shipped_concepts() -> dict[str, Path]:
    """Return the shipped concepts: normalised name to TOML file."""
    folder = Path(__file__).parent / "concepts"
    return {normalise(path.stem): path for path in sorted(folder.glob("*.toml"))}


def concept_path(text: str) -> Path | None:
    """The path of a TOML file that stands for a concept; None for a concept in words."""
    text = text.strip()
    return Path(at_home(text)) if text.lower().endswith(".toml") else None


def read_concept_file(path: Path) -> ConceptFile:
    """Read one concept from TOML; UsageError names the file, the key and the remedy."""
    text = "\n".join(read_lines(path, "CONCEPT"))
    try:
        table = tomllib.loads(text)
    # Beside what its own error tells, a number may have too many digits.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"CONCEPT: {path} is not valid TOML: {error}") from error
    known = [field.name for field in fields(ConceptFile)]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise UsageError(f"CONCEPT: unknown key {key!r} in {path}; {hint}")
    if "name" not in table:
        raise UsageError(f'CONCEPT: {path} has no name; add a line such as name = "church"')
    if str(table.get("kind", "other")) not in KINDS:
        raise UsageError(f"CONCEPT: kind in {path} must be one of {', '.join(KINDS)}")
    return ConceptFile(**{key: _checked(path, key, value) for key, value in table.items()})


def _checked(path: Path, key: str, value: Any) -> Any:
    """Return a value as ConceptFile holds it: a stripped string or a tuple of them."""
    if key in LISTS:
        if not isinstance(value, list) or not all(_is_text(item) for item in value):
            raise UsageError(f"CONCEPT: {key} in {path} must be a list of non-empty strings")
        if not value and key in ("forget", "relabel", "retain", "probes"):
            why = "list prompts, or leave the key out to have them built"
            raise UsageError(f"CONCEPT: {key} in {path} is empty; {why}")
        for item in value:
            longest = LONGEST_NAME if key in ("synonyms", "substitutes") else None
            require_plain(f"CONCEPT: an entry of {key} in {path}", item, longest)
        return tuple(dict.fromkeys(item.strip() for item in value))
    if not _is_text(value):
        raise UsageError(f"CONCEPT: {key} in {path} must be a non-empty string")
    require_plain(f"CONCEPT: {key} in {path}", value, LONGEST_NAME if key == "name" else None)
    return value.strip()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
