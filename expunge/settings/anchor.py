"""What every closed form is told: which words the concept's are read as, and at which tokens."""

from dataclasses import dataclass
from typing import Annotated, Literal

from expunge.settings.checks import require_seed
from expunge.settings.groups import shown

Tokens = Literal["last", "rest", "all"]


@dataclass(frozen=True)
class AnchorFlags:
    """What the concept's words become."""

    preset: Annotated[str | None, shown("NAME", "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    anchor: Annotated[str | None, shown("TEXT", "the concept's own")] = None
    """What the concept is read as from now on: words to put where its words stand in the forget
    prompts, or "" for the empty prompt (published for things; for styles it is `art`). Without it,
    the word that the concept's fixed relabel prompt names, else its first substitute, else that
    prompt whole: a thing that can be drawn, where the empty prompt leaves open what is."""
    tokens: Annotated[Tokens | None, shown(Tokens, "rest")] = None
    """Which tokens of a forget prompt are edited: the `last` of the concept's words alone; it and
    the `rest` after it, the padding included, which have read it; or `all`. A name of several
    words, or a word of several tokens, is edited at its last token, which has read the others."""
    seed: int = 0
    """Seed of everything that is drawn at random."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require_seed(self.seed)


@dataclass(frozen=True)
class Anchor:
    """The same, settled."""

    preset: str | None
    anchor: str | None
    """None: the concept's own."""
    tokens: Tokens
    seed: int
