"""The attacks there are, the cheapest first."""

from eval.attack.attack import Attack
from eval.attack.complete import COMPLETE
from eval.attack.embedding import EMBEDDING
from eval.attack.invert import INVERT
from eval.attack.learned_word import LEARNED_WORD
from eval.attack.plain import PLAIN
from eval.attack.prompt import PROMPT
from eval.attack.relearn import RELEARN
from eval.attack.words import WORDS

__all__ = ["ATTACKS", "PLAIN"]

ATTACKS: tuple[Attack, ...] = (WORDS, COMPLETE, LEARNED_WORD, EMBEDDING, RELEARN, PROMPT, INVERT)
