"""A journal: what was appended is read back, or is known to be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plumbing.journal import open_journal, read_journal, write_journal

RECORDS = [{"id": "a\u2028b", "score": 0.1}, {"id": "é\n", "score": 1e-9}, {"id": "c", "score": 3}]


def add(path: Path, *records: dict[str, Any]) -> None:
    with open_journal(path) as append:
        append(records)


def read(path: Path) -> list[dict[str, Any]]:
    return read_journal(path, dict)


def test_records_come_back_however_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read(path) == []
    add(path)
    assert read(path) == []
    add(path, RECORDS[0])
    add(path, *RECORDS[1:])
    assert read(path) == RECORDS
    written = path.read_bytes()
    write_journal(path, RECORDS)
    assert path.read_bytes() == written


def test_a_torn_line_is_cut_before_the_next_and_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever the tear is."""
    path = tmp_path / "log.jsonl"
    write_journal(path, RECORDS[:2])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert read(path) == RECORDS[:1]
        add(path, RECORDS[2])
        assert read(path) == [RECORDS[0], RECORDS[2]]
    assert not caplog.text


def test_every_flipped_bit_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One in the end of a line damages the next, too; 1E-09 is 1e-09."""
    path = tmp_path / "log.jsonl"
    write_journal(path, RECORDS)
    whole = path.read_bytes()
    for place in range(len(whole) - 1):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            caplog.clear()
            found = read(path)
            if whole[place : place + 1] == b"e" and found == RECORDS:
                continue
            assert len(found) in (1, 2) and all(record in RECORDS for record in found)
            assert f"{path}: " in caplog.text and "damaged" in caplog.text


def test_a_record_that_makes_nothing_counts_as_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.jsonl"
    write_journal(path, [*RECORDS, {"name": "d"}])
    assert read_journal(path, lambda record: record["id"]) == [r["id"] for r in RECORDS]
    assert "1 of 4 lines are damaged, the first is line 4" in caplog.text
