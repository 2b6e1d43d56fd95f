"""Several concepts at once: each has its share of the images that are drawn, however few."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from erase.methods.method import Trained
from erase.models.bundle import Bundle
from expunge.cli import main
from expunge.parsing import parse
from expunge.runs.plan import Plan, make_plan
from expunge.runs.roles import load_method
from expunge.runs.sets import build_sets
from plumbing.processes import ALONE

NAMES = ("church", "dog", "apple")


def plan_of(model: Path, out: Path, *flags: str) -> Plan:
    """The plan of erasing all three, with seven images of what is forgotten."""
    where = ["--model", str(model), "--out", str(out), "--inference-steps", "1", "--no-guard"]
    images = ["--forget-images", "7", "--batch-size", "2"]
    return make_plan("erase", parse(("erase",), [*NAMES, *where, *images, *flags]))


def named(plan: Plan, prompts: Any) -> Counter[str]:
    """How many of the prompts name each of the concepts."""
    members = plan.concept.members
    return Counter(m.name for prompt in prompts for m in members if m.named_in(prompt))


def sets_of(sd: Bundle, plan: Plan) -> dict[str, Any]:
    method = load_method(plan.method)
    assert isinstance(method, Trained)
    return build_sets(sd, plan, method, ALONE)


def test_a_small_forget_set_has_images_of_every_concept(
    tiny: Bundle, model_folder: Path, tmp_path: Path
) -> None:
    """Seven in turn are three, two and two; one concept's prompts after the other's were seven."""
    plan = plan_of(model_folder, tmp_path / "run", "--retain-images", "2")
    found = sets_of(tiny, plan)["forget"]
    captions = [found.prompts[i] for i in found.prompt_index.tolist()]
    assert named(plan, captions) == {"church": 3, "dog": 2, "apple": 2}
    assert len(set(captions)) == 7


def test_anchors_stand_for_every_concept(tiny: Bundle, model_folder: Path, tmp_path: Path) -> None:
    plan = plan_of(model_folder, tmp_path / "run", "--method", "ca", "--anchor", "house")
    found = sets_of(tiny, plan)["anchor"]
    prompts = plan.concept.in_turn()
    assert named(plan, (prompts[i] for i in found.concept_index.tolist())) == {
        "church": 3,
        "dog": 2,
        "apple": 2,
    }


def test_the_prompts_of_a_file_are_taken_in_turn_by_what_they_name(
    model_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "forget.txt"
    file.write_text("a church\ntwo churches\nthree churches\na dog\nan apple\nsome thing\n")
    plan = plan_of(model_folder, tmp_path / "run", "--forget-prompts", str(file))
    assert plan.concept.in_turn() == (
        *("a church", "a dog", "an apple", "some thing"),
        *("two churches", "three churches"),
    )


def test_of_one_concept_the_order_is_its_own(model_folder: Path, tmp_path: Path) -> None:
    words = ["church", "--model", str(model_folder), "--out", str(tmp_path / "run")]
    concept = make_plan("erase", parse(("erase",), words)).concept
    assert concept.in_turn() == concept.forget_prompts


@pytest.mark.parametrize("command", ["erase", "mask"])
def test_fewer_images_than_concepts_are_refused(
    model_folder: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = [command, *NAMES, "--model", str(model_folder), "--out", str(out)]
    assert main([*words, "--forget-images", "2"]) == 2
    assert "--forget-images 2: fewer than the 3 concepts" in capsys.readouterr().err
    assert not out.exists()
