"""What a concept's prompts are to be read as: other words where the concept's words stand."""

from dataclasses import dataclass

from plumbing.errors import UsageError
from plumbing.text_file import require_plain
from prompts.concept import ConceptSpec
from prompts.naming import named_spans, names_any
from prompts.wording import replace_words

Place = tuple[int, int]
"""Where words stand in a prompt: their first character, and the first after them."""


@dataclass(frozen=True)
class Pair:
    """A prompt of the concept, and what it is to be read as."""

    prompt: str
    anchor: str
    words: Place | None = None
    """The concept's words in the prompt; None if it does not name it."""
    anchor_words: Place | None = None
    """The words that stand for them in the anchor; None if all of it does."""


def pair_prompts(concept: ConceptSpec, anchor: str | None) -> list[Pair]:
    """Each forget prompt with its anchor; of several concepts each has its own.

    `anchor` is words to put where the concept's words stand; `""` is the empty prompt instead; None
    is the word of the concept's fixed relabel prompt, else its first substitute, else that prompt
    as it is. An anchor that names the concept is a UsageError.
    """
    require_plain("--anchor", anchor or "")
    if anchor and concept.named_in(anchor):
        raise UsageError(f"--anchor {anchor!r} names {concept.name} itself; give another thing")
    return [_pair(prompt, concept, anchor) for prompt in concept.forget_prompts]


def _pair(prompt: str, concept: ConceptSpec, anchor: str | None) -> Pair:
    member = _member(prompt, concept)
    places = [(start, end) for start, end, _ in named_spans(prompt, member.labels)]
    words = places[-1] if places else None
    other = _usual(member, concept) if anchor is None else anchor.strip()
    if other is None:
        return Pair(prompt, member.fixed_relabel_prompt, words)
    if not other or words is None:
        return Pair(prompt, other, words)
    replaced = replace_words(prompt, member.labels, other)
    if concept.named_in(replaced):
        # Another of several concepts, which must not be what this one becomes.
        return Pair(prompt, other, words)
    # What follows the concept's last words follows the anchor, too.
    end = len(replaced) - (len(prompt) - words[1])
    return Pair(prompt, replaced, words, (end - len(other), end))


def _member(prompt: str, concept: ConceptSpec) -> ConceptSpec:
    """Of several concepts the one that a prompt names, or whose it is."""
    naming = [each for each in concept.members if each.named_in(prompt)]
    owning = [each for each in concept.members if prompt in each.forget_prompts]
    return next(iter((*naming, *owning)), concept)


def _usual(member: ConceptSpec, concept: ConceptSpec) -> str | None:
    others = [word for word in member.substitutes if not concept.named_in(word)]
    usual = [word for word in others if names_any(member.fixed_relabel_prompt, [word])]
    # The longest: "a christmas tree" names a tree, too.
    return max(usual, key=len) if usual else next(iter(others), None)
