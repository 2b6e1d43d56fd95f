"""Probes: other ways to ask for a concept, which attacks try and nothing is trained on."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.tiny_models import OBJECTS, STYLES

from eval.depth.images import Lesson
from expunge.evaluations.attack import lesson_of
from expunge.runs.plan import hash_inputs
from prompts.built_lists import for_probes, misspelt
from prompts.concept import Vocabulary, combine, load_concept
from prompts.concept_file import shipped_concepts
from prompts.naming import fold

WORDS = Vocabulary(OBJECTS, STYLES)
NAMES = [*sorted(shipped_concepts()), "zeppelin", "delivery truck", "monet style"]


@pytest.mark.parametrize("vocabulary", [None, WORDS], ids=["any model", "tiny"])
@pytest.mark.parametrize("name", NAMES)
def test_none_is_a_prompt_that_anything_is_trained_on(
    name: str, vocabulary: Vocabulary | None
) -> None:
    spec = load_concept(name, vocabulary)
    trained = {fold(p) for p in (*spec.forget_prompts, *spec.relabel_prompts, *spec.retain_prompts)}
    assert len(spec.probes) >= 4 and not trained & {fold(probe) for probe in spec.probes}


def test_a_file_lists_its_own_and_forget_prompts_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    lists = 'forget = ["a Zeppelin"]\nprobes = ["an airship by night", "a zeppelin", "luftschiff"]'
    path.write_text(f'name = "zeppelin"\n{lists}\n')
    assert load_concept(str(path)).probes == ("an airship by night", "luftschiff")
    path.write_text('name = "zeppelin"\nprobes = []\n')
    with pytest.raises(Exception, match=r"probes in .* is empty; list prompts, or leave the key"):
        load_concept(str(path))


def test_built_ones_name_the_concept_and_one_misspells_it() -> None:
    built = for_probes(["delivery truck"], is_style=False)
    assert sum("delivery truck" in probe for probe in built) == len(built) - 1
    assert built[-1] == "an image of a delviery truck"
    assert misspelt("church") != "church" and sorted(misspelt("church")) == sorted("church")
    assert misspelt("cat") == "cat"


def test_several_concepts_have_those_of_all() -> None:
    church, dog = load_concept("church", WORDS), load_concept("dog", WORDS)
    assert set(combine([church, dog]).probes) == {*church.probes, *dog.probes}


def test_what_a_run_was_trained_on_is_no_probe() -> None:
    """The user's own forget prompts, too."""
    spec = load_concept("zeppelin")
    judge = type("Judge", (), {"explicit": False})()
    lesson = lesson_of(spec, None, judge, [spec.probes[0].upper()])
    assert isinstance(lesson, Lesson) and lesson.probes == spec.probes[1:]


def test_they_decide_nothing_about_a_run(model_folder: Path, tmp_path: Path) -> None:
    """A run of a concept file that is given probes later is the same run."""
    from erase.models.locate import locate

    path = tmp_path / "mine.toml"
    path.write_text('name = "church"\n')
    hashes = []
    for more in ("", 'probes = ["a chapel"]\n'):
        path.write_text(f'name = "church"\n{more}')
        hashes.append(hash_inputs("prompts", [str(path)], {}, locate(str(model_folder))))
    assert hashes[0] == hashes[1]
    spec = load_concept(str(path), WORDS)
    assert spec.probes == ("a chapel",) and replace(spec, probes=()) != spec
