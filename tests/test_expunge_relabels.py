"""Which prompt a forget prompt is relabelled to."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from erase.diffusion.conditioning import Conditioning
from expunge.runs.relabels import anchors, relabels
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept

WORDS = Vocabulary(("church", "dog", "owl", "house", "tree", "cow"), ("neon", "flat", "sepia"))
CHURCH, OUTLINE = load_concept("church", WORDS), load_concept("neon", WORDS)


def told(concept: ConceptSpec, how: str, seed: int = 0, sd: Any = None) -> dict[str, list[str]]:
    choose = relabels(sd, concept, how, seed)
    return {prompt: list(choose(prompt)) for prompt in concept.forget_prompts}


def answers(concept: ConceptSpec, seed: int) -> dict[str, str]:
    """The one relabel prompt of each forget prompt."""
    found = told(concept, "random", seed)
    assert all(len(choices) == 1 for choices in found.values())
    return {prompt: choices[0] for prompt, choices in found.items()}


def test_a_concept_has_one_answer_in_all_its_prompts() -> None:
    for seed in range(4):
        found = answers(CHURCH, seed)
        (word,) = {w for w in WORDS.objects if f" {w}" in f" {found['an image of a church']}"}
        assert all(word in answer and not CHURCH.named_in(answer) for answer in found.values())
        assert found["an image of a church in neon style"].endswith("in neon style")


def test_which_is_the_seeds() -> None:
    asked = "an image of a church"
    assert answers(CHURCH, 3) == answers(CHURCH, 3)
    assert len({answers(CHURCH, seed)[asked] for seed in range(20)}) > 2


def test_a_style_becomes_another_one_style() -> None:
    found = answers(OUTLINE, 0)
    (style,) = {s for s in ("flat", "sepia") if s in next(iter(found.values()))}
    assert all(style in answer for answer in found.values())


def test_each_of_several_concepts_has_an_answer_and_none_is_another_of_them() -> None:
    both = combine([CHURCH, load_concept("dog", WORDS)])
    for seed in range(6):
        found = answers(both, seed)
        assert not any(both.named_in(answer) for answer in found.values())
        for member in both.members:
            own = {found[prompt] for prompt in member.forget_prompts if "image" in prompt}
            words = {w for w in WORDS.objects for text in own if f" {w} " in f" {text} "}
            assert len(words) == 1


def test_all_of_them_or_the_prompt_that_is_given() -> None:
    asked = "an image of a church"
    assert told(CHURCH, "mixed")[asked] == list(CHURCH.relabel_candidates(asked))
    assert {*map(tuple, told(CHURCH, "fixed").values())} == {(CHURCH.fixed_relabel_prompt,)}
    assert {*map(tuple, told(CHURCH, "a red wall").values())} == {("a red wall",)}


def test_the_nearest_reads_most_like_it() -> None:
    """A church at (1, 0), a house at (0.8, 0.1), all else at (0, 1): less the mean, the house."""
    places = {"church": (1.0, 0.0), "house": (0.8, 0.1)}

    def encode(prompts: Sequence[str]) -> Conditioning:
        rows = [next((p for w, p in places.items() if w in text), (0.0, 1.0)) for text in prompts]
        return Conditioning(torch.tensor(rows)[:, None])

    found = told(CHURCH, "nearest", sd=SimpleNamespace(encode=encode))
    assert found["a church"] == ["a house"]
    assert all("house" in choice for (choice,) in found.values())


def test_anchors_are_words_in_the_prompt_or_any_relabel_prompt() -> None:
    asked = "an image of a church in neon style"
    assert anchors(CHURCH, "building")(asked) == ("an image of a building in neon style",)
    assert anchors(CHURCH, "random")(asked) == CHURCH.relabel_candidates(asked)
