"""Evaluations under attack that were killed, or are there already."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.depth_runs import SMALL, Bar, MakeAttacks, small, told
from support.files import jsonl

from plumbing.errors import UsageError
from plumbing.journal import open_journal


def test_a_finished_one_is_read_and_another_is_refused(attack_tiny: MakeAttacks) -> None:
    def never(*_: object) -> Any:
        raise AssertionError("nothing is left to draw")

    found = attack_tiny(small(("words",)))
    assert attack_tiny(small(("words",)), bar=never) == found
    with pytest.raises(UsageError, match=r"--out .*holds another evaluation .*protocol.seed"):
        attack_tiny(small(("words",)), seed=1)
    assert attack_tiny(small(("words",)), seed=1, overwrite=True).protocol.seed == 1


@pytest.mark.parametrize("calls", [1, 5, 12, 25, 40])
def test_a_killed_one_goes_on_to_the_same_result(
    calls: int, attack_tiny: MakeAttacks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.attack.fitting.SAVE_EVERY", 2)
    attacks = small(("words", "learned-word", "relearn", "invert"))
    whole = attack_tiny(attacks, out="whole")
    with pytest.raises(KeyboardInterrupt):
        attack_tiny(attacks, bar=Bar(calls))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("out*/**/*.png")}
    resumed = attack_tiny(attacks)
    assert told(resumed) == told(whole)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    hashes = [
        [(r["id"], r["sha256"]) for r in jsonl(tmp_path / out / "erased" / "generations.jsonl")]
        for out in ("out", "whole")
    ]
    assert hashes[0] == hashes[1]
    assert not [*tmp_path.glob("out*/**/states/**/*.pt")]


def test_images_that_are_gone_are_learned_for_again(
    attack_tiny: MakeAttacks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed attack had gone further than the form whose images somebody removed."""
    monkeypatch.setattr("eval.attack.fitting.SAVE_EVERY", 1)
    attacks = small(("embedding",))
    attacks = [replace(attacks[0], budgets={"quick": {**SMALL["embedding"], "steps": (1, 5)}})]
    whole = attack_tiny(attacks, out="whole")
    bar = Bar()
    kept = bar.update

    def dies(more: int) -> None:
        kept(more)
        if [*tmp_path.glob("out/erased/images/embedding*")] and more == 2 * 3:
            raise KeyboardInterrupt

    bar.update = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        attack_tiny(attacks, bar=bar)
    assert [*tmp_path.glob("out/erased/states/*/*.pt")]
    gone = sorted(tmp_path.glob("out/erased/images/embedding*"))[0]
    gone.unlink()
    assert told(attack_tiny(attacks)) == told(whole) and gone.exists()


def test_another_model_in_an_unfinished_folder_is_drawn_itself(
    attack_tiny: MakeAttacks, tmp_path: Path, other_model_folder: Path, chance_erased: Path
) -> None:
    """Nothing but the model differs from the killed evaluation's."""
    attacks = small(("words",))
    whole = attack_tiny(attacks)
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
    assert told(attack_tiny(attacks)) == told(whole)
