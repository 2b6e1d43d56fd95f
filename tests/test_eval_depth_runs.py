"""Whole evaluations under attack on tiny models: counted, repeated, without images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from support.attack_runs import ByteJudge
from support.depth_runs import DRAWING, SMALL, MakeAttacks, small, told
from support.files import jsonl

from eval.attack.known import ATTACKS
from eval.depth.plan import Plan
from eval.depth.results import Attempt, read_attacks
from eval.depth.scores import score


def test_figures_recount_from_the_attempts_and_the_file_is_read_back(
    attack_tiny: MakeAttacks, tmp_path: Path
) -> None:
    found = attack_tiny(small(), repetitions=2)
    rows = [Attempt(**row) for row in jsonl(tmp_path / "out" / "attempts.jsonl")]
    counted = score(rows, {attack.name: attack.any_counts for attack in ATTACKS})
    assert counted == {"original": found.original, "erased": found.erased, "floor": found.floor}
    assert set(found.erased) == {"none", *SMALL} == set(found.original) == set(found.floor)
    for attack in small():
        own = found.erased[attack.name]
        assert len(own.variants) == attack.variants(**SMALL[attack.name])
        assert {v.success.n for v in own.variants} == {8}
        hits = sum(r.hit for r in rows if (r.model, r.attack) == ("erased", attack.name))
        assert hits == round(sum(v.success.value * v.success.n / 100 for v in own.variants))
    assert read_attacks(tmp_path / "out" / "evaluation.json") == found
    assert any(0 < s.success.value < 100 for s in found.erased.values())
    for row in rows:
        image = tmp_path / "out" / row.model / "images" / f"{row.id}.png"
        assert ByteJudge().classify([image]).__next__().label == row.label


def test_what_is_learned_stays_and_is_the_same_for_the_same_seed(
    attack_tiny: MakeAttacks, tmp_path: Path
) -> None:
    for out in ("one", "two"):
        attack_tiny(small(("learned-word",)), out=out)
    one, two = (sorted((tmp_path / out / "erased" / "learned").iterdir()) for out in ("one", "two"))
    assert [p.name for p in one] == [p.name for p in two] and len(one) == 4
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_without_images_the_figures_are_the_same(attack_tiny: MakeAttacks, tmp_path: Path) -> None:
    attacks = small(("words", "complete", "invert"))
    whole = attack_tiny(attacks, out="whole")
    bare = attack_tiny(attacks, out="bare", keep_images=False)
    assert told(whole) == told(bare)
    left = [p for p in tmp_path.glob("bare*/**/*.png") if "lesson-" not in str(p)]
    assert left == [] and [*tmp_path.glob("whole/**/*.png")]
    again = attack_tiny(attacks, out="bare", keep_images=False, overwrite=True)
    assert told(again) == told(bare)


def test_another_judge_judges_what_is_drawn_already(attack_tiny: MakeAttacks) -> None:
    attacks = small(("words",))
    first = attack_tiny(attacks)
    everything = attack_tiny(attacks, judge=ByteJudge(256), overwrite=True)
    assert {s.success.value for s in everything.erased.values()} == {100.0}
    assert first.erased != everything.erased


def test_random_weights_are_the_floor_of_what_is_controlled_by_them(
    attack_tiny: MakeAttacks, tmp_path: Path
) -> None:
    found = attack_tiny(small(("words", "invert")), floor=False)
    assert set(found.floor) == {"invert"} and set(found.erased) == {"none", "words", "invert"}
    images = {
        role: sorted((tmp_path / "out" / role / "images").glob("invert*"))
        for role in ("original", "floor")
    }
    pairs = list(zip(images["original"], images["floor"], strict=True))
    assert len(pairs) == 4 and all(a.read_bytes() != b.read_bytes() for a, b in pairs)


def test_nothing_changes_the_models_files(
    attack_tiny: MakeAttacks, model_folder: Path, chance_erased: Path
) -> None:
    def state() -> Iterator[tuple[Path, bytes]]:
        for folder in (model_folder, chance_erased):
            yield from ((p, p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file())

    before = list(state())
    attack_tiny(small())
    assert list(state()) == before


def test_the_question_decides_what_is_drawn() -> None:
    """Other numbers, noise, images or aims are other cells."""
    plan = Plan(small(("words",)), "quick", 1, 4, 0, DRAWING)
    others = [
        replace(plan, images=5),
        replace(plan, seed=1),
        replace(plan, drawing=replace(DRAWING, steps=3)),
        replace(
            plan, attacks=[replace(small(("words",))[0], budgets={"quick": {"strengths": ()}})]
        ),
    ]
    keys = {each.cells("aim")[1].key for each in (plan, *others)} | {plan.cells("other")[1].key}
    assert len(keys) == 6
    assert plan.cells("aim")[1].key == plan.cells("aim")[1].key
