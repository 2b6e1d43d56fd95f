"""What forget prompts are read as: each concept's own words for it, in their places."""

from dataclasses import replace

import pytest
from support.vocabulary import VOCABULARY

from plumbing.errors import UsageError
from prompts.anchor import Pair, pair_prompts
from prompts.concept import combine, load_concept


def said(text: str, place: tuple[int, int] | None) -> str | None:
    return place and text[slice(*place)]


def test_the_anchor_stands_where_the_concept_s_words_stood() -> None:
    concept = load_concept("church", VOCABULARY)
    pairs = {pair.prompt: pair for pair in pair_prompts(concept, "apple")}
    assert pairs.keys() == set(concept.forget_prompts)
    for prompt, pair in pairs.items():
        assert pair.anchor == prompt.replace("a church", "an apple").replace("church", "apple")
        assert str(said(prompt, pair.words)).endswith("church")
        assert said(pair.anchor, pair.anchor_words) == "apple"


def test_the_last_of_several_mentions_is_meant() -> None:
    concept = replace(
        load_concept("church", VOCABULARY), forget_prompts=("Churches near a chapel, at dusk",)
    )
    (pair,) = pair_prompts(concept, "oak tree")
    assert pair.anchor == "oak tree near an oak tree, at dusk"
    assert (pair.words, pair.anchor_words) == ((14, 22), (17, 25))


def test_usually_it_is_the_word_of_the_fixed_relabel_prompt() -> None:
    """The next label after church is a cow; that of nudity names no substitute of it."""
    concept = load_concept("church", VOCABULARY)
    assert concept.fixed_relabel_prompt == "an image of a cow"
    assert pair_prompts(concept, None)[0].anchor == "an image of a cow"
    pairs = pair_prompts(load_concept("nudity"), None)
    assert pairs[1].anchor == "a photo of a fully clothed woman"
    assert said(pairs[1].anchor, pairs[1].anchor_words) == "fully clothed"
    longer = replace(concept, fixed_relabel_prompt="an image of a christmas tree")
    assert pair_prompts(longer, None)[0].anchor == "an image of a christmas tree"


def test_without_a_word_it_is_the_whole_relabel_prompt() -> None:
    concept = load_concept("rusty lighthouse")
    pairs = pair_prompts(concept, None)
    assert {pair.anchor for pair in pairs} == {concept.fixed_relabel_prompt}
    assert {pair.anchor_words for pair in pairs} == {None}


def test_the_empty_anchor_is_the_empty_prompt() -> None:
    pairs = pair_prompts(load_concept("church", VOCABULARY), " ")
    assert {(pair.anchor, pair.anchor_words) for pair in pairs} == {("", None)}


def test_each_of_several_concepts_has_its_own_and_none_becomes_another() -> None:
    """Usually a church becomes a cow, and a cow a crab; with both to go the church cannot."""
    words = ("church", "cow")
    concept = combine([load_concept(word, VOCABULARY) for word in words])
    anchors = {pair.prompt: pair.anchor for pair in pair_prompts(concept, None)}
    assert anchors["a cow"] == "a crab" and anchors["a church"] == "a dog"
    both = replace(concept, forget_prompts=("a church behind a cow",))
    assert pair_prompts(both, "tree") == [Pair("a church behind a cow", "tree", (0, 8), None)]


def test_a_prompt_that_names_nothing_is_meant_whole() -> None:
    concept = replace(load_concept("church", VOCABULARY), forget_prompts=("a steeple",))
    assert pair_prompts(concept, "tree") == [Pair("a steeple", "tree")]


@pytest.mark.parametrize(
    ("anchor", "message"),
    [("an old Chapel", "names church itself"), ("a\x00b", "which is no character of a text")],
)
def test_an_anchor_that_is_none_is_refused(anchor: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"--anchor.* {message}"):
        pair_prompts(load_concept("church", VOCABULARY), anchor)
