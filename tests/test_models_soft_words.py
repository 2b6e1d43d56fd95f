"""Words that are vectors: the concept's own vectors are its words, and others can be learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.attacked import same, under
from support.example_sd3 import SD3, save_sd3
from support.tiny_models import TOKENS, make_tokenizer
from transformers import CLIPTokenizer

from erase.models.architectures import known
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.soft_words import encode_soft, special_ids, text_of, word_ids, word_tables
from plumbing.errors import UsageError

PROMPTS = ("an image of a {}", "a {} on a hill")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that names the example of another architecture."""
    monkeypatch.setattr(known, "ARCHITECTURES", [*known.ARCHITECTURES, SD3])


@pytest.fixture(scope="module")
def sd3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model of it."""
    folder = tmp_path_factory.mktemp("models") / "sd3"
    save_sd3(folder)
    return folder


@pytest.fixture(params=["model_folder", "sdxl_folder", "sd3_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    """A tiny model of each kind."""
    return request.getfixturevalue(request.param)


def loaded(folder: Path) -> Bundle:
    return load_checkpoint(str(folder), device="cpu")


def slots(count: int) -> list[str]:
    """The prompts with `count` slots."""
    return [prompt.format(" ".join("~" * count)) for prompt in PROMPTS]


def own_vectors(bundle: Bundle, words: str) -> list[torch.Tensor]:
    return [table[word_ids(bundle, words)].clone() for table in word_tables(bundle)]


def test_the_words_own_vectors_are_the_words(folder: Path) -> None:
    bundle = loaded(folder)
    plain = bundle.encode([prompt.format("church") for prompt in PROMPTS])
    with torch.no_grad():
        found = encode_soft(bundle, slots(6), own_vectors(bundle, "church"))
        assert same(found, plain)
        other = encode_soft(bundle, slots(6), own_vectors(bundle, "castle"))
    assert not torch.equal(other.embeddings, plain.embeddings)


def test_encoding_is_as_before_afterwards(folder: Path) -> None:
    """Of the slot's own word, too, which was told other vectors in between."""
    bundle = loaded(folder)
    plain = bundle.encode(["a ~ b"])
    encode_soft(bundle, ["a ~ b"], own_vectors(bundle, "x"))
    assert same(bundle.encode(["a ~ b"]), plain)


def test_a_gradient_reaches_each_vector_and_no_weight(folder: Path) -> None:
    model = under(folder)
    vectors = [table[[5, 6]].clone().requires_grad_() for table in model.word_tables()]
    told = model.encode_soft(slots(2), vectors)
    told.embeddings.square().sum().backward()
    for vector in vectors:
        assert vector.grad is not None and (vector.grad != 0).any(dim=1).all()
    parts = (model.denoiser, *model._bundle.encoders)
    assert all(weight.grad is None for part in parts for weight in part.parameters())


def test_a_gradient_reaches_the_pooled_encoders_vectors_by_it_alone(sdxl_folder: Path) -> None:
    model = under(sdxl_folder)
    vectors = [table[[5]].clone().requires_grad_() for table in model.word_tables()]
    pooled = model.encode_soft(slots(1), vectors).pooled
    assert pooled is not None
    pooled.square().sum().backward()
    assert vectors[0].grad is None
    assert vectors[1].grad is not None and vectors[1].grad.any()


def test_each_prompt_can_have_its_own_vectors(folder: Path) -> None:
    bundle = loaded(folder)
    pair = zip(own_vectors(bundle, "cat"), own_vectors(bundle, "dog"), strict=True)
    with torch.no_grad():
        both = encode_soft(bundle, slots(3), [torch.stack(two) for two in pair])
        for row, words in enumerate(("cat", "dog")):
            alone = encode_soft(bundle, slots(3), own_vectors(bundle, words))
            assert torch.equal(both.embeddings[row], alone.embeddings[row])
            assert not torch.equal(both.embeddings[1 - row], alone.embeddings[1 - row])


def test_a_slot_that_is_cut_is_refused(folder: Path) -> None:
    """All tokens but begin, end and the slot's may be letters, and one more is too many."""
    bundle = loaded(folder)
    letters, vectors = "x" * (TOKENS - 3), own_vectors(bundle, "y")
    encode_soft(bundle, [f"{letters} ~"], vectors)
    with pytest.raises(UsageError, match="a prompt is too long for the text encoder"):
        encode_soft(bundle, [f"{letters}x ~"], vectors)


@pytest.mark.parametrize("number", ["", "_2"])
def test_a_tokenizer_without_the_slot_is_refused(sdxl_folder: Path, number: str) -> None:
    bundle = loaded(sdxl_folder)
    vectors = own_vectors(bundle, "y")
    vocabulary = make_tokenizer().get_vocab()
    del vocabulary["~"], vocabulary["~</w>"]
    other = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)
    parts = {**bundle.parts, f"tokenizer{number}": other}
    changed = Bundle(bundle.architecture, parts, bundle.source)
    with pytest.raises(UsageError, match=rf"its tokenizer{number} has no token for '~'"):
        encode_soft(changed, ["a ~"], vectors)


def test_tokens_are_the_text_again(folder: Path) -> None:
    bundle = loaded(folder)
    ids = word_ids(bundle, "a church")
    assert text_of(bundle, ids) == "a church"
    assert not {*special_ids(bundle)} & {*ids}
    begun = bundle.tokenizer("a church").input_ids
    assert {*begun} - {*ids} == {*special_ids(bundle)}
