"""Kernels for training on a CPU: the numbers of torch's own, and where they are taken."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from support.tiny_models import make_unet
from torch import Tensor, nn

from erase.diffusion import cpu_kernels as kernels
from erase.diffusion.cpu_kernels import (
    Attention,
    DeepConvolution,
    require_compiler,
    training_kernels,
)
from plumbing.errors import UsageError


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [3, 5])
def test_a_deep_convolution_s_gradients_are_torch_s(size: int, bias: bool) -> None:
    """40 pixels, 40 channels, in float64."""
    conv = nn.Conv2d(40, 6, size, padding=size // 2, bias=bias).double()
    images = torch.randn(2, 40, 4, 5, dtype=torch.float64, requires_grad=True)
    theirs, ours = conv(images), kernels.convolve(images, conv.weight, conv.bias, conv.padding)
    assert type(ours.grad_fn).__name__ == "DeepConvolutionBackward"
    weights = torch.randn(theirs.shape, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((output * weights).sum(), [images, *conv.parameters()])
        for output in (ours, theirs)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("channels", "trained"), [(38, True), (40, False)])
def test_wide_and_frozen_convolutions_are_torch_s(channels: int, trained: bool) -> None:
    """40 pixels; 38 channels are fewer."""
    conv = nn.Conv2d(channels, 6, 3, padding=1).requires_grad_(trained)
    images = torch.randn(2, channels, 4, 5, requires_grad=True)
    output = kernels.convolve(images, conv.weight, conv.bias, conv.padding)
    assert type(output.grad_fn).__name__ != "DeepConvolutionBackward"


@pytest.mark.parametrize(
    "settings",
    [
        {"stride": 2, "padding": 1},
        {"padding": 0},
        {"padding": 2, "dilation": 2},
        {"padding": 1, "groups": 2},
        {"padding": 1, "padding_mode": "circular"},
        {"padding": "same"},
    ],
)
def test_other_convolutions_are_left_alone(settings: dict[str, Any]) -> None:
    assert not kernels.keeps_size(nn.Conv2d(4, 4, 3, **settings))
    assert not kernels.keeps_size(nn.Conv2d(4, 4, 1))
    assert kernels.keeps_size(nn.Conv2d(4, 4, 3, padding=1))


def run(unet: Any, dtype: torch.dtype, *, ours: bool, **told: int) -> list[Tensor]:
    """Gradients of all weights, by torch's kernels or by ours."""
    generator = torch.Generator().manual_seed(0)
    images, prompts = (torch.randn(s, generator=generator) for s in ((2, 4, 8, 8), (2, 77, 16)))
    unet.to(dtype).zero_grad()
    with kernels.replaced(unet, **told) if ours else nullcontext():
        output = unet(images.to(dtype), torch.zeros(2, dtype=torch.long), prompts.to(dtype))
        output.sample.float().square().mean().backward()
    return [p.grad.float() for p in unet.parameters() if p.grad is not None]


def distance(first: list[Tensor], second: list[Tensor]) -> float:
    return sum((a - b).square().sum().item() for a, b in zip(first, second, strict=True)) ** 0.5


def test_a_unet_s_gradients_are_torch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 to rounding; in bfloat16 no more than twice as far from that as torch's own."""
    unet, used = make_unet(), []
    monkeypatch.setattr(kernels, "convolve", lambda *args, **told: _deep(used, *args, **told))
    exact = run(unet, torch.float32, ours=False)
    assert distance(run(unet, torch.float32, ours=True), exact) < 1e-5
    assert used
    theirs = distance(run(unet, torch.bfloat16, ours=False), exact)
    assert 0 < distance(run(unet, torch.bfloat16, ours=True), exact) < 2 * theirs


def _deep(used: list[int], images: Tensor, weight: Tensor, bias: Tensor, padding: Any) -> Tensor:
    """Every convolution as if it were deep."""
    used.append(1)
    return DeepConvolution.apply(images, weight, bias, padding)


def test_large_attention_stays_fused_and_small_is_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same numbers either way; which way is told by a call that only the fused one makes."""
    unet, calls = make_unet(), []
    fused = AttnProcessor2_0.__call__
    monkeypatch.setattr(
        AttnProcessor2_0, "__call__", lambda *a, **k: (calls.append(1), fused(*a, **k))[1]
    )
    small = run(unet, torch.float32, ours=True)
    assert not calls
    assert distance(run(unet, torch.float32, ours=True, matrix=0), small) < 1e-5
    assert calls


def test_they_are_for_bfloat16_on_a_cpu_and_go_away() -> None:
    unet = make_unet().to(torch.bfloat16).requires_grad_(True)
    before, conv = unet.attn_processors, unet.conv_in._conv_forward
    with training_kernels(unet, torch.float32):
        assert unet.attn_processors == before
    with training_kernels(unet, torch.bfloat16):
        assert all(isinstance(p, Attention) for p in unet.attn_processors.values())
        assert unet.conv_in._conv_forward != conv
        with training_kernels(unet, torch.bfloat16):
            pass
        assert all(isinstance(p, Attention) for p in unet.attn_processors.values())
    assert unet.attn_processors == before and unet.conv_in._conv_forward == conv
    with training_kernels(unet.float(), torch.bfloat16):
        assert unet.conv_in._conv_forward == conv


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: Any) -> Any:
        raise RuntimeError("no\nworking compiler")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UsageError, match=r"--compile: .*\(no working compiler\); leave it out"):
        require_compiler(torch.device("cpu"))
