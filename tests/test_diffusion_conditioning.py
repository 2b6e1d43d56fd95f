"""What a UNet is told of prompts: the same as diffusers' own pipelines tell it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.tiny_sdxl import save_sdxl

from erase.diffusion.conditioning import join
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint

PROMPTS = ("a church in outline style, at night, far away", "")


def load_sdxl(folder: Path, *, zero_unconditional: bool) -> Bundle:
    """A tiny SDXL."""
    save_sdxl(folder, zero_unconditional=zero_unconditional)
    return load_checkpoint(str(folder), device="cpu")


def test_prompts_are_encoded_as_the_pipeline_does(tiny: Bundle) -> None:
    ours = tiny.encode(PROMPTS)
    theirs, _ = tiny.pipeline("ddim").encode_prompt(list(PROMPTS), torch.device("cpu"), 1, False)
    assert ours.embeddings.shape == (2, 24, 16) and ours.added is None
    torch.testing.assert_close(ours.embeddings, theirs.detach())


@pytest.mark.parametrize("zero", [True, False])
def test_sdxl_prompts_too_with_what_stands_for_none(tmp_path: Path, zero: bool) -> None:
    sd = load_sdxl(tmp_path / "sdxl", zero_unconditional=zero)
    with torch.no_grad():
        embeddings, no_embeddings, pooled, no_pooled = sd.pipeline("ddim").encode_prompt(
            prompt=list(PROMPTS), do_classifier_free_guidance=True
        )
    ours, none = sd.encode(PROMPTS), sd.encode_nothing()
    assert ours.embeddings.shape == (2, 24, 16 + 24)
    assert ours.added is not None and none.added is not None
    torch.testing.assert_close(ours.embeddings, embeddings)
    torch.testing.assert_close(ours.added["text_embeds"], pooled)
    torch.testing.assert_close(none.embeddings, no_embeddings[:1])
    torch.testing.assert_close(none.added["text_embeds"], no_pooled[:1])
    assert (none.embeddings == 0).all() == zero
    assert ours.added["time_ids"].tolist() == [[16, 16, 0, 0, 16, 16]] * 2


def test_rows_and_joins_keep_a_prompt_s_tensors_together(tmp_path: Path) -> None:
    sd = load_sdxl(tmp_path / "sdxl", zero_unconditional=True)
    both = sd.encode(PROMPTS)
    again = join([both[1:], both[torch.tensor([0])]])[torch.tensor([1, 0])]
    assert len(again) == 2
    for (name, tensor), (_, other) in zip(both.tensors(), again.tensors(), strict=True):
        assert torch.equal(tensor, other), name
