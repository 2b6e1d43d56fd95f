"""Names of UNet weights in the original (LDM) layout, derived from a diffusers UNet's config.

Single files of Stable Diffusion keep the names that CompVis' latent-diffusion gave its modules:
numbered `input_blocks`, a `middle_block`, numbered `output_blocks`. Diffusers tells blocks and
their parts apart. The tensors are the same in both, in shape and content, so names are all that
changes. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plumbing.errors import UsageError

UNET_PREFIX = "model.diffusion_model."
EMA_PREFIX = "model_ema."

_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ADDED = {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_DOWN = {"DownBlock2D": False, "CrossAttnDownBlock2D": True}
_UP = {"UpBlock2D": False, "CrossAttnUpBlock2D": True}
_MID = {"UNetMidBlock2DCrossAttn": True}


def unet_keys(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Map diffusers UNet parameter names to LDM names, without `model.diffusion_model.`.

    `config` is the UNet's config.json, `names` those of its state dict, in any order. No two names
    share a target. A block type or a name that the LDM layout has no place for is a UsageError.
    """
    resnets, others = _modules(config)
    found: dict[str, str] = {}
    for name in names:
        found[name] = _translate(name, resnets, others)
    assert len(set(found.values())) == len(found), "two weights of one LDM name"
    return found


def ema_key(key: str) -> str:
    """The EMA copy's name of a UNet weight: LDM's `LitEma` leaves out all dots.

    `key` is an LDM name without prefix; its original is `model.diffusion_model.` + `key`.
    """
    return f"{EMA_PREFIX}diffusion_model{key.replace('.', '')}"


def _translate(name: str, resnets: Mapping[str, str], others: Mapping[str, str]) -> str:
    """One parameter's LDM name; attention blocks have the same names inside on both sides."""
    place, _, rest = name.partition(".resnets.")
    number, _, rest = rest.partition(".")
    target = resnets.get(f"{place}.resnets.{number}")
    if target is not None:
        part, _, kind = rest.rpartition(".")
        if part in _RESNET:
            return f"{target}.{_RESNET[part]}.{kind}"
    for module in _ancestors(name):
        if module in others:
            return others[module] + name.removeprefix(module)
    raise UsageError(
        f"the UNet's weight {name} has no name in the original single-file layout; "
        "export it in diffusers' own (--format unet or pipeline)"
    )


def _ancestors(name: str) -> Iterator[str]:
    """`a.b.c` gives `a.b`, then `a`."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _modules(config: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """LDM names of the UNet's residual blocks, and of its other modules."""
    layers = _per_block(config["layers_per_block"], len(config["down_block_types"]))
    resnets: dict[str, str] = {}
    others = dict(_ENDS)
    if config.get("addition_embed_type") == "text_time":
        others |= _ADDED
    _down(config["down_block_types"], layers, resnets, others)
    mid = config.get("mid_block_type", "UNetMidBlock2DCrossAttn")
    _attends(mid, _MID)
    resnets |= {"mid_block.resnets.0": "middle_block.0", "mid_block.resnets.1": "middle_block.2"}
    others["mid_block.attentions.0"] = "middle_block.1"
    _up(config["up_block_types"], layers[::-1], resnets, others)
    return resnets, others


def _down(
    kinds: Sequence[str], layers: Sequence[int], resnets: dict[str, str], others: dict[str, str]
) -> None:
    """Input block 0 is the first convolution; each layer and each downsampler is one more."""
    index = 1
    for block, kind in enumerate(kinds):
        for layer in range(layers[block]):
            resnets[f"down_blocks.{block}.resnets.{layer}"] = f"input_blocks.{index}.0"
            if _attends(kind, _DOWN):
                others[f"down_blocks.{block}.attentions.{layer}"] = f"input_blocks.{index}.1"
            index += 1
        if block < len(kinds) - 1:
            others[f"down_blocks.{block}.downsamplers.0.conv"] = f"input_blocks.{index}.0.op"
            index += 1


def _up(
    kinds: Sequence[str], layers: Sequence[int], resnets: dict[str, str], others: dict[str, str]
) -> None:
    """One layer more than on the way down; a block's last output block also has its upsampler."""
    index = 0
    for block, kind in enumerate(kinds):
        attends = _attends(kind, _UP)
        for layer in range(layers[block] + 1):
            resnets[f"up_blocks.{block}.resnets.{layer}"] = f"output_blocks.{index}.0"
            if attends:
                others[f"up_blocks.{block}.attentions.{layer}"] = f"output_blocks.{index}.1"
            index += 1
        if block < len(kinds) - 1:
            last = f"output_blocks.{index - 1}.{2 if attends else 1}.conv"
            others[f"up_blocks.{block}.upsamplers.0.conv"] = last


def _attends(kind: str | None, known: Mapping[str, bool]) -> bool:
    if kind is None or kind not in known:
        raise UsageError(
            f"a UNet with a {kind} has no original single-file layout; "
            f"known here are {', '.join(known)}"
        )
    return known[kind]


def _per_block(value: int | Sequence[int], blocks: int) -> list[int]:
    """Diffusers' configs give one number for all blocks, or a list."""
    return [value] * blocks if isinstance(value, int) else list(value)
