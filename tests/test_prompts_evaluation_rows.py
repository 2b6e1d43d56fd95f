"""The rows that evaluations draw: how many of what, each with its own seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.vocabulary import OBJECTS, STYLES, VOCABULARY

from prompts.concept import Vocabulary, load_concept
from prompts.evaluation_rows import NEAREST, concept_rows, kept_rows, own_labels, retain_rows


@pytest.mark.parametrize("name", ["church", "outline"])
def test_full_protocol(name: str) -> None:
    rows = concept_rows(load_concept(name, VOCABULARY), VOCABULARY, "full")
    counts = Counter(row.split for row in rows)
    assert counts["forget"] >= 100 and counts["retain"] >= 500 and counts["cross"] >= 500
    assert len({row.id for row in rows}) == len(rows)
    assert len({(row.prompt, row.seed) for row in rows}) == len(rows)
    kept = [row for row in rows if row.split != "forget"]
    assert all(name not in (row.object, row.style) for row in kept)
    objects = Counter(row.object for row in kept if row.judged == "object")
    styles = Counter(row.style for row in kept if row.judged == "style")
    assert set(objects) == set(OBJECTS) - {name} and min(objects.values()) >= 4
    assert set(styles) == set(STYLES) - {name} and len(set(styles.values())) == 1
    in_domain = {"church": "object", "outline": "style"}[name]
    assert {r.judged for r in rows if r.split != "cross"} == {in_domain}


def test_demo_protocol() -> None:
    rows = concept_rows(load_concept("church", VOCABULARY), VOCABULARY, "demo")
    counts = Counter(row.split for row in rows)
    assert counts == {"forget": 28, "retain": 24, "cross": 14}
    forget = [row for row in rows if row.split == "forget"]
    assert Counter(r.style for r in forget) == {None: 14, **dict.fromkeys(STYLES, 2)}
    assert set(Counter(r.object for r in rows if r.split == "retain").values()) == {1}


def test_concepts_that_no_judge_names_have_forget_rows_alone() -> None:
    for vocabulary in (VOCABULARY, None):
        rows = concept_rows(load_concept("nudity", vocabulary), vocabulary, "full")
        assert len(rows) == 100
        assert {(r.split, r.judged, r.object) for r in rows} == {("forget", None, None)}


def test_originals_are_shared_between_concepts() -> None:
    """The same prompt has the same seeds whatever is erased, so its pictures serve twice."""
    church, dog = (
        {(r.prompt, r.seed) for r in concept_rows(load_concept(c, VOCABULARY), VOCABULARY, "full")}
        for c in ("church", "dog")
    )
    assert len(church & dog) > 0.5 * len(church)


@given(seed=st.integers(0, 2**32), name=st.sampled_from(OBJECTS + STYLES))
def test_rows_are_a_function_of_their_inputs(seed: int, name: str) -> None:
    spec = load_concept(name, VOCABULARY)
    rows = concept_rows(spec, VOCABULARY, "demo", seed)
    assert rows == concept_rows(spec, VOCABULARY, "demo", seed)
    assert all(0 <= row.seed < 2**32 for row in rows)


NEAR = {"church": ("castle", "house"), "outline": ("blueprint", "flat")}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_nearest_to_a_concept_is_drawn_evenly(name: str) -> None:
    spec = load_concept(name, VOCABULARY)
    rows = concept_rows(spec, VOCABULARY, "bench", near=NEAR[name])
    near = [row for row in rows if row.split == "near"]
    own = [row.object if name == "church" else row.style for row in near]
    assert Counter(own) == dict.fromkeys(NEAR[name], 8)
    assert {row.judged for row in near} == {"object" if name == "church" else "style"}
    if name == "church":
        assert Counter(row.style is None for row in near) == {True: 8, False: 8}
    without = concept_rows(spec, VOCABULARY, "bench")
    assert [r for r in rows if r.split != "near"] == without
    assert concept_rows(spec, VOCABULARY, "demo", near=NEAR[name]) == concept_rows(
        spec, VOCABULARY, "demo"
    )


def test_the_bench_protocol_has_some_three_hundred_images_of_a_wide_vocabulary() -> None:
    words = Vocabulary((*tuple(f"thing {i}" for i in range(119)), "church"), STYLES)
    near = tuple(f"thing {i}" for i in range(NEAREST))
    rows = concept_rows(load_concept("church", words), words, "bench", near=near)
    assert Counter(row.split for row in rows) == {
        "forget": 56,
        "retain": 119,
        "cross": 84,
        "near": 64,
    }


def test_a_concepts_own_labels_are_not_its_neighbours() -> None:
    for name, own, others in (("church", "object", OBJECTS), ("outline", "style", STYLES)):
        found, rest = own_labels(load_concept(name, VOCABULARY), VOCABULARY)
        assert found == (name,) and set(rest) == set(others) - {name}, own
    assert own_labels(load_concept("nudity", VOCABULARY), VOCABULARY) == ((), [])


@pytest.mark.parametrize("name", NEAR)
def test_what_is_kept_is_measured_on_images_that_are_there_already(name: str) -> None:
    spec = load_concept(name, VOCABULARY)
    rows = kept_rows(spec, VOCABULARY, 30)
    asked = {(row.prompt, row.seed) for row in rows}
    assert len({row.prompt for row in rows}) == len({row.id for row in rows}) == 30
    demo = {(row.prompt, row.seed) for row in concept_rows(spec, VOCABULARY, "demo")}
    assert asked <= demo and not any(spec.named_in(row.prompt) for row in rows)
    full = kept_rows(spec, VOCABULARY, 10_000)
    assert full[:30] == rows and len({(r.prompt, r.seed) for r in full}) == len(full)
    assert {row.prompt for row in retain_rows(spec.retain_prompts)} <= {r.prompt for r in full}
    turns = Counter[str]()
    for before, row in zip([None, *full], full, strict=False):
        turns[row.prompt] += 1
        assert before is None or turns[row.prompt] >= turns[before.prompt]


def test_without_a_judges_words_the_concepts_own_prompts_are_kept() -> None:
    spec = load_concept("nudity", None)
    rows = kept_rows(spec, None, 20)
    assert [row.prompt for row in rows] == list(spec.retain_prompts[:20])
    assert rows == retain_rows(spec.retain_prompts[:20])
