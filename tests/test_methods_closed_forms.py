"""What UCE, RECE and SPEED have in common: tokens, several concepts, SDXL, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.dense_tokens import church, least_squares, moved, place, retained, weights
from support.erased_runs import unet
from support.tiny_models import OBJECTS, STYLES

from erase.methods import uce
from erase.methods.text_tokens import last_tokens, moved_tokens, preserved_tokens, projections
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from expunge.cli import main
from plumbing.errors import UsageError
from prompts.concept import Vocabulary, combine, load_concept
from prompts.naming import named_spans

METHODS = ("uce", "rece", "speed")


def test_the_last_token_of_words_of_many_tokens(tiny: Bundle) -> None:
    """Spelled, a prompt has 22 letters at most: of a truck that comes later the last one seen."""
    prompts = ["a church, flat style", "a church", "", "an image of a dog", "two delivery trucks"]
    words = [(0, 8), None, None, (12, 17), (4, 19)]
    expected = [7, 7, 0, place("an image of a dog"), place("two delivery trucks")]
    assert last_tokens(tiny, prompts, words) == expected == [7, 7, 0, 13, 17]
    long = "an image of a very long delivery truck"
    assert last_tokens(tiny, [long], [(24, 38)]) == [22]


@pytest.mark.parametrize("name", ["english springer", "french horn", "fuel pump"])
def test_the_last_token_in_a_vocabulary_of_words(name: str) -> None:
    """Those from the first to the last token of the words spell them."""
    sd = load_checkpoint("miniature", device="cpu")
    prompt = f"an image of {name} in neon style"
    ((start, end, _),) = named_spans(prompt, [name])
    (last,) = last_tokens(sd, [prompt], [(start, end)])
    (before,) = last_tokens(sd, [prompt], [(0, start)])
    tokens = sd.tokenizer.convert_ids_to_tokens(sd.tokenizer(prompt).input_ids)
    assert "".join(tokens[before + 1 : last + 1]).replace("</w>", " ").strip() == name


def test_tokenizers_that_split_differently_are_refused(sdxl_folder: Path) -> None:
    sd = load_checkpoint(str(sdxl_folder), device="cpu")
    other = load_checkpoint("miniature", device="cpu").tokenizer
    with pytest.raises(UsageError, match="split words differently"):
        last_tokens(replace(sd, parts={**sd.parts, "tokenizer_2": other}), ["a church"], [(0, 8)])


def test_a_denoiser_that_reads_the_text_otherwise_is_refused(tiny: Bundle) -> None:
    parameters = tiny.trainable("xattn")
    assert (
        projections(tiny, parameters, "to_k", "to_v").keys() == weights(tiny, "to_k", "to_v").keys()
    )
    with pytest.raises(UsageError, match="no cross-attention that reads"):
        projections(tiny, tiny.trainable("selfattn"), "to_v")
    wide = {f"{name}.attn2.to_v.weight": torch.nn.Parameter(torch.zeros(4, 17)) for name in "ab"}
    with pytest.raises(UsageError, match="16 numbers a token"):
        projections(tiny, wide, "to_v")


def test_several_concepts_go_in_one_solve(tiny: Bundle) -> None:
    """A church becomes the next in the alphabet that stays, a dog the first of all."""
    words = Vocabulary(OBJECTS, STYLES)
    concept = combine([load_concept(name, words) for name in ("church", "dog")])
    concept = replace(concept, retain_prompts=("an apple", "an apple, flat style"))
    told: Any = {"erase_scale": 1.0, "preserve_scale": 0.5, "ridge": 0.25}
    found = uce.transform(
        moved_tokens(tiny, concept, None, "last"),
        preserved_tokens(tiny, concept.retain_prompts, "last"),
        **told,
    )
    pairs = [
        moved(tiny, concept, word, anchor, "last")
        for word, anchor in (("church", "delivery truck"), ("dog", "apple"))
    ]
    kept = retained(tiny, ["", *concept.retain_prompts], "last")
    for weight in weights(tiny, "to_k", "to_v").values():
        parts = [(1.0, here, there @ weight.mT) for here, there in pairs]
        parts += [(0.5, kept, kept @ weight.mT), (0.25, torch.eye(16).double(), weight.mT)]
        torch.testing.assert_close(weight @ found, least_squares(parts), rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_sdxl_s_text_is_edited_as_one_and_what_leaks_is_said(
    sdxl_folder: Path, tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 40 numbers 16 are the first encoder's and 24 the second's: all columns change."""
    words = ["erase", "church", "--method", method, "--model", str(sdxl_folder), "--anchor", "dog"]
    run = tmp_path / "run"
    assert main([*words, "--out", str(run), "--device", "cpu"]) == 0
    assert caplog.text.count("pooled text vector is not edited") == 1
    before, after = unet(sdxl_folder), unet(run)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    names = ("to_v",) if method == "speed" else ("to_k", "to_v")
    assert changed == {n for n in before if ".attn2." in n and n.split(".")[-2] in names}
    for name in changed:
        assert before[name].shape[1] == 16 + 24
        assert (before[name] != after[name]).any(dim=0).all()


def test_without_pooled_text_nothing_leaks_and_nothing_is_said(
    model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["erase", "church", "--method", "uce", "--model", str(model_folder)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert "pooled" not in caplog.text


@pytest.mark.parametrize("method", METHODS)
def test_the_preset_is_what_was_published(
    model_folder: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["erase", "church", "--method", method, "--model", str(model_folder)]
    assert main([*words, "--preset", method, "--threshold=0.2"]) == (0 if method == "speed" else 2)
    capsys.readouterr()
    assert main([*words, "--preset", method, "--anchor", "dog", "--out", str(run)]) == 0
    config = json.loads((run / "run.json").read_text())["config"]
    published = {
        "uce": {"tokens": "last", "erase_scale": 1.0, "preserve_scale": 1.0, "ridge": 0.5},
        "rece": {"tokens": "rest", "epochs": 1, "closeness": 1e-3, "epoch_ridge": 0.1},
        "speed": {"tokens": "last", "threshold": 0.1, "ridge": 1.0, "slack": 0.0, "copies": 10},
    }[method]
    assert config["anchor"] == "dog" and config["preset"] == method
    assert published.items() <= config.items()


@pytest.mark.parametrize(
    ("method", "flags", "message"),
    [
        ("uce", "--ridge -1", "--ridge must be at least 0"),
        ("uce", "--erase-scale 0", "--erase-scale must be above 0"),
        ("uce", "--erase-scale 1e308", "--erase-scale must be at most 2**53"),
        ("uce", "--ridge 1e15 --anchor dog", "--method uce: with these numbers no weight changes"),
        ("uce", "--until-erased", "no such flag (see expunge erase --method uce --help)"),
        ("uce", "--preserve-scale nan", "--preserve-scale must be at least 0"),
        ("uce", "--tokens first", "--tokens"),
        ("uce", "--steps 3", "--steps: no such flag"),
        ("uce", "--preset rece", "--preset"),
        ("uce", "--seed -1", "--seed must be"),
        ("uce", "--anchor church", "--anchor 'church' names church itself"),
        (
            "uce",
            "--ridge 0 --preserve-scale 0",
            "--ridge: the tokens leave UCE's equations singular",
        ),
        ("uce", "--forget-images 3", "--forget-images: UCE computes from prompts"),
        ("rece", "--epochs -1", "--epochs must be at least 0"),
        ("rece", "--closeness -1", "--closeness must be at least 0"),
        ("rece", "--epoch-ridge inf", "--epoch-ridge must be at most"),
        ("speed", "--threshold 0", "--threshold must be above 0"),
        ("speed", "--ridge 0", "--ridge must be above 0"),
        ("speed", "--ridge 1e-15 --anchor dog", "--ridge: it leaves SPEED's equations singular"),
        ("speed", "--slack -1", "--slack must be at least 0"),
        ("speed", "--copies -1", "--copies must be at least 0"),
        ("speed", "--threshold 1e-12", "--threshold 1e-12: what is retained has all directions"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    method: str,
    flags: str,
    message: str,
) -> None:
    words = ["erase", "church", "--method", method, "--model", str(model_folder)]
    assert main([*words, *flags.split(), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_the_same_run_again_gives_the_same_bits(model_folder: Path, tmp_path: Path) -> None:
    """SPEED draws at random: the seed is all that decides."""
    runs = [tmp_path / name for name in "abc"]
    for run, seed in zip(runs, ("0", "0", "1"), strict=True):
        words = ["erase", "church", "--method", "speed", "--model", str(model_folder)]
        assert main([*words, "--anchor", "dog", "--seed", seed, "--out", str(run)]) == 0
    first, same, other = (unet(run) for run in runs)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_mask_says_which_weights_changed(model_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["erase", "church", "--method", "uce", "--model", str(model_folder), "--out", str(run)]
    assert main([*words, "--retain-prompts", str(_file(tmp_path))]) == 0
    record = json.loads((run / "run.json").read_text())
    before, after = unet(model_folder), unet(run)
    count = sum(int((before[name] != after[name]).sum()) for name in before)
    assert record["mask"]["kept"] == count > 0
    assert {name for name in load_file(run / "mask.safetensors")} >= {
        name for name in before if ".attn2.to_v." in name
    }
    assert church().name == record["concept"]["name"]


def _file(folder: Path) -> Path:
    file = folder / "keep.txt"
    file.write_text("a dog\nan apple\n")
    return file
