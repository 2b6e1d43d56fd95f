"""Whole evaluations under attack on tiny models: counted, resumed, repeated, without images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.attack_runs import ByteJudge
from support.files import jsonl

from erase.models.checkpoint import load_checkpoint
from eval.attack.attack import Attack
from eval.attack.known import ATTACKS
from eval.depth import images
from eval.depth.evaluate import attack_and_judge
from eval.depth.images import Lesson
from eval.depth.plan import Plan, Subject, Under
from eval.depth.results import RANDOM, AttackEvaluation, AttackQuestion, Attempt, read_attacks
from eval.depth.scores import score
from eval.generation.generate import Drawing
from eval.judges.judge import Judge
from expunge.evaluations.attack import randomise
from expunge.evaluations.under_attack import UnderAttack
from plumbing.errors import UsageError
from plumbing.journal import open_journal

SMALL: Mapping[str, Mapping[str, Any]] = {
    "words": {"strengths": (1.0,)},
    "complete": {"begun": (0.5,), "noised": (0.5,), "painted": (0.5,)},
    "learned-word": {
        "forms": (("near", 1, "images"), ("own", 1, "path")),
        "steps": (2, 4),
        "lr": 0.05,
        "batch": 2,
    },
    "embedding": {"noised": ("images",), "steps": (3,), "lr": 0.05, "batch": 2},
    "relearn": {
        "forms": (("full", "concept"), ("lora", "others")),
        "steps": (1, 2),
        "images": 4,
        "batch": 2,
    },
    "prompt": {"objectives": ("noise", "original"), "tokens": 2, "timesteps": 2, "iterations": 2},
    "invert": {"iterations": 2},
}
LESSON = Lesson(
    name="church",
    words="church",
    templates=("an image of a {}", "a picture of a {}"),
    prompts=("an image of a church", "a church"),
    probes=("a chapel on a hill",),
    pairs=(("a church", "a dog"),),
    other_prompts=("a dog", "an apple"),
)
QUESTION = AttackQuestion("church", "object", ("church",))


def small(names: tuple[str, ...] = tuple(SMALL)) -> list[Attack]:
    return [replace(a, budgets={"quick": SMALL[a.name]}) for a in ATTACKS if a.name in names]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of the images to learn from are enough."""
    monkeypatch.setattr(images, "LEAST", 1)


class Bar:
    """Counts passes; ends the process, so to say, after so many calls."""

    def __init__(self, calls: int | None = None) -> None:
        self.left, self.passes = calls, 0

    def __call__(self, total: int, done: int) -> Bar:
        self.total = total
        return self

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, more: int) -> None:
        self.passes += more
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt


Run = Callable[..., AttackEvaluation]


@pytest.fixture
def run(model_folder: Path, other_erased: Path, tmp_path: Path) -> Run:
    """Attacks a tiny model, erased by chance, and one that never knew anything."""

    def subject(name: str, folder: Path) -> Subject:
        def open_it() -> UnderAttack:
            bundle = load_checkpoint(str(folder), device="cpu")
            if name == RANDOM:
                randomise(bundle, 0)
            return UnderAttack(bundle, sha256=name, steps=2, guidance=5.0, lr=1e-2)

        return Subject(name, name, open_it)

    def attack(
        attacks: list[Attack],
        out: str = "out",
        bar: Any = None,
        judge: Judge | None = None,
        floor: bool = True,
        seed: int = 0,
        repetitions: int = 1,
        **flags: Any,
    ) -> AttackEvaluation:
        folders = {"original": model_folder, "erased": other_erased, RANDOM: model_folder}
        folders |= {"floor": other_erased} if floor else {}
        drawing = Drawing("ddim", 2, 5.0, (16, 16), "float32")
        return attack_and_judge(
            LESSON,
            QUESTION,
            # Few images to learn from.
            Plan(attacks, "quick", repetitions, 4, seed, drawing, (10, 10)),
            Under(
                {name: subject(name, folder) for name, folder in folders.items()},
                tmp_path / out,
                tmp_path / f"{out}-originals",
                bar or Bar(),
            ),
            judge or ByteJudge(),
            **flags,
        )

    return attack


@pytest.fixture(scope="session")
def other_erased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with another seed's weights."""
    from support.tiny_models import save_model

    folder = tmp_path_factory.mktemp("models") / "erased"
    save_model(folder, seed=3)
    return folder


def told(found: AttackEvaluation) -> dict[str, Any]:
    """All that is found, but for how long it took."""
    data = json.loads(json.dumps(found.to_dict()))
    for cost in data["cost"].values():
        del cost["seconds"]
    return data


def test_figures_recount_from_the_attempts_and_the_file_is_read_back(
    run: Run, tmp_path: Path
) -> None:
    found = run(small(), repetitions=2)
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


def test_a_finished_one_is_read_and_another_is_refused(run: Run) -> None:
    def never(*_: object) -> Any:
        raise AssertionError("nothing is left to draw")

    found = run(small(("words",)))
    assert run(small(("words",)), bar=never) == found
    with pytest.raises(UsageError, match=r"--out .*holds another evaluation .*protocol.seed"):
        run(small(("words",)), seed=1)
    assert run(small(("words",)), seed=1, overwrite=True).protocol.seed == 1


@pytest.mark.parametrize("calls", [1, 5, 12, 25, 40])
def test_a_killed_one_goes_on_to_the_same_result(
    calls: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.attack.fitting.SAVE_EVERY", 2)
    attacks = small(("words", "learned-word", "relearn", "invert"))
    whole = run(attacks, out="whole")
    with pytest.raises(KeyboardInterrupt):
        run(attacks, bar=Bar(calls))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("out*/**/*.png")}
    resumed = run(attacks)
    assert told(resumed) == told(whole)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    hashes = [
        [(r["id"], r["sha256"]) for r in jsonl(tmp_path / out / "erased" / "generations.jsonl")]
        for out in ("out", "whole")
    ]
    assert hashes[0] == hashes[1]
    assert not [*tmp_path.glob("out*/**/states/**/*.pt")]


def test_what_is_learned_stays_and_is_the_same_for_the_same_seed(run: Run, tmp_path: Path) -> None:
    for out in ("one", "two"):
        run(small(("learned-word",)), out=out)
    one, two = (sorted((tmp_path / out / "erased" / "learned").iterdir()) for out in ("one", "two"))
    assert [p.name for p in one] == [p.name for p in two] and len(one) == 4
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_without_images_the_figures_are_the_same(run: Run, tmp_path: Path) -> None:
    attacks = small(("words", "complete", "invert"))
    whole, bare = run(attacks, out="whole"), run(attacks, out="bare", keep_images=False)
    assert told(whole) == told(bare)
    left = [p for p in tmp_path.glob("bare*/**/*.png") if "lesson-" not in str(p)]
    assert left == [] and [*tmp_path.glob("whole/**/*.png")]
    again = run(attacks, out="bare", keep_images=False, overwrite=True)
    assert told(again) == told(bare)


def test_another_judge_judges_what_is_drawn_already(run: Run) -> None:
    class Drawn(Bar):
        def __call__(self, total: int, done: int) -> Bar:
            self.total = total
            return self

    attacks, bar = small(("words",)), Drawn()
    first = run(attacks)
    everything = run(attacks, judge=ByteJudge(256), overwrite=True, bar=bar)
    assert {s.success.value for s in everything.erased.values()} == {100.0}
    assert first.erased != everything.erased


def test_random_weights_are_the_floor_of_what_is_controlled_by_them(
    run: Run, tmp_path: Path
) -> None:
    found = run(small(("words", "invert")), floor=False)
    assert set(found.floor) == {"invert"} and set(found.erased) == {"none", "words", "invert"}
    images = {
        role: sorted((tmp_path / "out" / role / "images").glob("invert*"))
        for role in ("original", "floor")
    }
    pairs = list(zip(images["original"], images["floor"], strict=True))
    assert len(pairs) == 4 and all(a.read_bytes() != b.read_bytes() for a, b in pairs)


def test_a_concept_that_the_original_does_not_draw_cannot_be_attacked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LEAST", 8)
    with pytest.raises(UsageError, match="the original's images show it in 0 of 10, fewer"):
        run(small(("words",)), judge=ByteJudge(0))


def test_rows_of_prompts_are_drawn_from_their_own_seeds_and_chosen(
    model_folder: Path, tmp_path: Path
) -> None:
    """As UnlearnDiffAtk chose its prompts: by the original's image and the judge's score."""
    bundle = load_checkpoint(str(model_folder), device="cpu")
    original = UnderAttack(bundle, sha256="x", steps=2, guidance=5.0, lr=None)
    prompts = tuple(f"prompt {i}" for i in range(12))
    drawing = Drawing("ddim", 2, 5.0, (16, 16), "float32")
    lesson = replace(LESSON, prompts=prompts, seeds=tuple(range(12)), surest=0.75)
    aim = images.draw_lessons(lesson, original, drawing, ByteJudge(), ("church",), tmp_path)
    files = sorted(tmp_path.glob("lesson-*/concept/*.png"))
    seen = [p.label == "church" for p in ByteJudge().classify(files)]
    assert aim.prompts == tuple(p for p, hit in zip(prompts, seen, strict=True) if hit)
    assert 0 < len(aim.images) < 12 and len(files) == 12
    lesson = replace(lesson, surest=0.95)
    with pytest.raises(UsageError, match="in 0 of 12"):
        images.draw_lessons(lesson, original, drawing, ByteJudge(), ("church",), tmp_path / "sure")


def test_nothing_changes_the_models_files(run: Run, model_folder: Path, other_erased: Path) -> None:
    def state() -> Iterator[tuple[Path, bytes]]:
        for folder in (model_folder, other_erased):
            yield from ((p, p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file())

    before = list(state())
    run(small())
    assert list(state()) == before


def test_the_question_decides_what_is_drawn() -> None:
    """Other numbers, noise, images or aims are other cells."""
    drawing = Drawing("ddim", 2, 5.0, (16, 16), "float32")
    plan = Plan(small(("words",)), "quick", 1, 4, 0, drawing)
    others = [
        replace(plan, images=5),
        replace(plan, seed=1),
        replace(plan, drawing=replace(drawing, steps=3)),
        replace(
            plan, attacks=[replace(small(("words",))[0], budgets={"quick": {"strengths": ()}})]
        ),
    ]
    keys = {each.cells("aim")[1].key for each in (plan, *others)} | {plan.cells("other")[1].key}
    assert len(keys) == 6
    assert plan.cells("aim")[1].key == plan.cells("aim")[1].key


def test_images_that_are_gone_are_learned_for_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed attack had gone further than the form whose images somebody removed."""
    monkeypatch.setattr("eval.attack.fitting.SAVE_EVERY", 1)
    attacks = small(("embedding",))
    attacks = [replace(attacks[0], budgets={"quick": {**SMALL["embedding"], "steps": (1, 5)}})]
    whole = run(attacks, out="whole")
    bar = Bar()
    kept = bar.update

    def dies(more: int) -> None:
        kept(more)
        if [*tmp_path.glob("out/erased/images/embedding*")] and more == 2 * 3:
            raise KeyboardInterrupt

    bar.update = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(attacks, bar=bar)
    assert [*tmp_path.glob("out/erased/states/*/*.pt")]
    gone = sorted(tmp_path.glob("out/erased/images/embedding*"))[0]
    gone.unlink()
    assert told(run(attacks)) == told(whole) and gone.exists()


def test_another_model_in_an_unfinished_folder_is_drawn_itself(
    run: Run, tmp_path: Path, other_model_folder: Path, other_erased: Path
) -> None:
    """Nothing but the model differs from the killed evaluation's."""
    attacks = small(("words",))
    whole = run(attacks)
    (tmp_path / "out" / "evaluation.json").unlink()
    judged = tmp_path / "out" / "erased" / "attacks.jsonl"
    before = judged.read_bytes()
    judged.write_bytes(b"")
    with open_journal(judged) as append:
        for line in before.splitlines():
            row = json.loads(line)
            append([{k: v for k, v in row.items() if k != "crc32"} | {"model": "another"}])
    first = next(tmp_path.glob("out/erased/images/words*"))
    first.write_bytes(next(tmp_path.glob("out/original/images/words*")).read_bytes())
    assert told(run(attacks)) == told(whole)
