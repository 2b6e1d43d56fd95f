"""Altered and free files for every reader: no traceback, no hang, nothing written elsewhere.

`python -m benchmarks.fuzz` tries more than these.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from benchmarks.fuzz import Reader, Result, fuzz, try_input
from benchmarks.fuzz_files import evaluations, run_record
from benchmarks.fuzz_readers import readers

READERS = readers()
SLOW = {
    "run.json": 40,
    "evaluation.json": 40,
    "../attack/evaluation.json": 40,
    "../attack/attempts.jsonl": 40,
    "compared/evaluation.json": 40,
}


@pytest.mark.parametrize("name", sorted(READERS))
def test_readers_refuse_or_return(name: str) -> None:
    result = fuzz(READERS[name], SLOW.get(name, 200))
    assert result.inputs >= SLOW.get(name, 200) and result.failures == {}


def _escape(path: Path) -> None:
    (path.parents[3] / "outside").write_text("x")


def _hang(path: Path) -> None:
    while True:
        len(str(path))


@pytest.mark.parametrize(
    ("read", "told"),
    [(lambda path: json.loads(path.read_text()), "JSONDecodeError"), (_escape, "outside: open")],
)
def test_a_reader_that_falls_or_escapes_would_be_noticed(
    read: Callable[[Path], Any], told: str
) -> None:
    result = fuzz(Reader("file", read, st.just(b"not JSON")), 1)
    assert [problem for problem in result.failures if problem.startswith(told)]


def test_a_reader_that_hangs_would_be_noticed() -> None:
    result = fuzz(Reader("file", _hang, st.just(b"")), 1, limit=0.1)
    assert [problem for problem in result.failures if problem.startswith("took 0.2 s")]


def _header(text: bytes, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + data


_ALIKE = b'"dtype":"U8","shape":[1],"data_offsets":[0,1]'


def _run(**values: Any) -> bytes:
    return json.dumps({**run_record(), **values}).encode()


def _evaluation(**values: Any) -> bytes:
    return json.dumps({**evaluations()[0], **values}).encode()


def _generation(row_id: object) -> bytes:
    """A line of generations.jsonl."""
    numbers = {"seed": 0, "steps": 1, "guidance_scale": 1, "width": 8, "height": 8, "seconds": 0}
    texts = dict.fromkeys(("prompt", "sampler", "dtype", "model", "sha256"), "")
    return json.dumps({"id": row_id, **texts, **numbers}).encode()


FOUND = {
    "seconds that are no number ended the report": ("run.json", _run(seconds={"a": float("nan")})),
    "seconds without an end did, too": ("run.json", _run(seconds={"a": float("inf")})),
    "and memory of 10^400 MB": ("run.json", _run(peak_memory_mb=10**400)),
    "a judge without a name ended the report in a KeyError": (
        "evaluation.json",
        _evaluation(judges={"object": {"sha256": "0"}}),
    ),
    "10^400 images ended the report in an OverflowError": (
        "evaluation.json",
        _evaluation(protocol={**evaluations()[0]["protocol"], "images": {"forget": 10**400}}),
    ),
    "a file's name of 100,000 letters ended in an OSError": (
        "metadata.jsonl",
        json.dumps({"file_name": "x" * 100_000, "text": "a church"}).encode(),
    ),
    "a name twice, of which readers take one or the other": (
        "mask.safetensors",
        _header(b'{"__metadata__":{"shape:a":"8"},"a":{%b},"a":{%b}}' % (_ALIKE, _ALIKE), b"\1"),
    ),
    "a shape that is no number ended in a ValueError": (
        "mask.safetensors",
        _header(b'{"__metadata__":{"shape:a":"eight"},"a":{%b}}' % _ALIKE, b"\1"),
    ),
    "a shape of 10^24 weights overflowed the report's shares": (
        "mask.safetensors",
        _header(b'{"__metadata__":{"shape:a":"%b"},"a":{%b}}' % (b"9" * 400, _ALIKE), b"\1"),
    ),
    "a LoRA's scalar ended in an IndexError": (
        "lora.safetensors",
        _header(
            b'{"__metadata__":{"expunge.format":"lora","expunge.version":"1","expunge.naming":'
            b'"diffusers","expunge.concept":"c","expunge.base":"b","expunge.base_unet":"u",'
            b'"expunge.residual":"0"},"unet.a.lora_A.weight":{"dtype":"F32","shape":[],'
            b'"data_offsets":[0,4]},"unet.a.lora_B.weight":{"dtype":"F32","shape":[],'
            b'"data_offsets":[4,8]}}',
            bytes(8),
        ),
    ),
    "a first layer without a second dimension ended in an IndexError": (
        "model.safetensors",
        _header(
            b'{"model.diffusion_model.input_blocks.0.0.weight":{"dtype":"F32","shape":[1],'
            b'"data_offsets":[0,4]},"model.diffusion_model.out.2.weight":{"dtype":"F32",'
            b'"shape":[1],"data_offsets":[4,8]}}',
            bytes(8),
        ),
    ),
    "a number of 5,000 digits ended in a ValueError": ("concept.toml", b"name = " + b"9" * 5000),
    "deep lists ended in a RecursionError": ("concept.toml", b"name = " + b"[" * 5000),
    "40,000 columns took minutes": (
        "i2p.csv",
        ",".join(map(str, range(40_000))).encode() + b"\n1\n",
    ),
    "deep nesting ended in a RecursionError": ("run.json", b"[" * 100_000),
    "the base was no object": ("run.json", b'{"schema_version":1,"concepts":["a"],"base":[1]}'),
    "deep nesting ended in a RecursionError in the commands shown": (
        "evaluation.json",
        b'{"kind":' + b"[" * 100_000,
    ),
    "an id that is a list ended in a TypeError": (
        "generations.jsonl",
        _generation([]),
    ),
    "an id too long for a file's name ended in an OSError": (
        "generations.jsonl",
        _generation("9" * 5000) + b"\n" + _generation("a"),
    ),
    "an id of half a letter ended in an UnicodeEncodeError": (
        "generations.jsonl",
        _generation("\ud800") + b"\n" + _generation("a"),
    ),
    "bytes that are no UTF-8, as a kill leaves them, ended in an UnicodeDecodeError": (
        "generations.jsonl",
        b'{"prompt": "\xe6\x95',
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(FOUND))
def test_what_once_made_a_reader_fall(what: str) -> None:
    name, content = FOUND[what]
    result = Result()
    try_input(READERS[name], content, result, 5)
    assert result.failures == {}
