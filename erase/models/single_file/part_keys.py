"""A diffusers model's autoencoder and text encoders in the original (LDM) layout.

As in `ldm_keys`, names are most of it. The layouts differ in two more things: LDM's autoencoder
attends with 1x1 convolutions, and the text encoder of SD 2 and the second one of SDXL are
OpenCLIP's, which keeps query, key and value in one tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from erase.models.architectures.families import VAE_PREFIX
from erase.models.single_file.unet_keys import UNET_PREFIX
from erase.tensors.weight_files import Computed, Spec, Weights
from plumbing.errors import UsageError

_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    # What diffusers called them up to 0.16; folders of that time are still about.
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}
_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_PROJECTION = "text_projection"
_OPEN_CLIP_ENDS = {
    "text_projection.weight": _PROJECTION,
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_QKV = ("q_proj", "k_proj", "v_proj")
Made = Mapping[str, tuple[tuple[str, ...], Spec]]
"""LDM name -> the diffusers tensors that it is made of, and its type and shape."""


def ldm_unet(weights: Weights | Computed, keys: Mapping[str, str]) -> Computed:
    """A UNet's tensors under `model.diffusion_model.`, given `unet_keys` of their names."""
    made = {UNET_PREFIX + key: ((name,), weights.specs[name]) for name, key in keys.items()}
    return _computed(weights, made)


def ldm_vae(weights: Weights, blocks: int) -> Computed:
    """An autoencoder's tensors under `first_stage_model.`; `blocks` is how many up blocks it has.

    An attention's [C, C] matrices become [C, C, 1, 1].
    """
    made = {}
    for name, spec in weights.specs.items():
        key = vae_key(name, blocks)
        if ".attn_1." in key and key.endswith(".weight") and not key.endswith(".norm.weight"):
            spec = Spec(spec.dtype, (*spec.shape[:2], 1, 1))
        made[VAE_PREFIX + key] = ((name,), spec)
    return _computed(weights, made)


def ldm_clip(weights: Weights, prefix: str) -> Computed:
    """A CLIP text encoder's tensors under `prefix`, with its own names.

    It gets its position ids, int64 [1, tokens], which diffusers' folders no longer have.
    """
    names = _bare_names(weights)
    ids = names.pop("embeddings.position_ids", None)
    positions = weights.specs[names["embeddings.position_embedding.weight"]]
    tokens = weights.specs[ids].shape[-1] if ids else positions.shape[0]
    made = {f"{prefix}text_model.{n}": ((own,), weights.specs[own]) for n, own in names.items()}
    return merged(_computed(weights, made), _position_ids(f"{prefix}text_model.", tokens))


def ldm_open_clip(weights: Weights, prefix: str) -> Computed:
    """A CLIP text encoder's tensors under `prefix`, with OpenCLIP's names.

    Its projection [E, D] becomes [D, E]. Two things of the original files are missing, as they are
    in diffusers, since nothing that draws reads them: `logit_scale`, which weighs texts against
    pictures, and SD 2's last layer. User interfaces do without, and a made-up one would not be the
    model's.
    """
    names = _bare_names(weights)
    made = {}
    for name, own in names.items():
        if name.endswith("position_ids"):
            continue
        key, sources = _open_clip_key(name)
        spec = weights.specs[own]
        shape = (spec.shape[0] * len(sources), *spec.shape[1:])
        shape = shape[::-1] if key == _PROJECTION else shape
        made[prefix + key] = tuple(names[s] for s in sources), Spec(spec.dtype, shape)
    return _computed(weights, made)


def _bare_names(weights: Weights) -> dict[str, str]:
    """Each weight's name by what it is without a wrapper, which transformers 5.6 took away."""
    return {name.removeprefix("text_model."): name for name in weights.specs}


def ldm_marks(*names: str) -> Computed:
    """Empty tensors whose names tell a user interface how to sample; float32 [0] each."""
    spec = Spec(torch.float32, (0,))
    return Computed(dict.fromkeys(names, spec), lambda _: torch.empty(0))


def _position_ids(prefix: str, tokens: int) -> Computed:
    key, spec = f"{prefix}embeddings.position_ids", Spec(torch.int64, (1, tokens))
    return Computed({key: spec}, lambda _: torch.arange(tokens)[None])


def vae_key(name: str, blocks: int) -> str:
    """The LDM name of one of diffusers' AutoencoderKL's weights; LDM counts up blocks backwards."""
    words = name.replace("conv_norm_out", "norm_out").split(".")
    match words:
        case [side, "down_blocks", block, "resnets", layer, *_]:
            return f"{side}.down.{block}.block.{layer}.{_shortcut(words[5:])}"
        case [side, "down_blocks", block, "downsamplers", "0", "conv", kind]:
            return f"{side}.down.{block}.downsample.conv.{kind}"
        case [side, "up_blocks", block, "resnets", layer, *_]:
            return f"{side}.up.{blocks - 1 - int(block)}.block.{layer}.{_shortcut(words[5:])}"
        case [side, "up_blocks", block, "upsamplers", "0", "conv", kind]:
            return f"{side}.up.{blocks - 1 - int(block)}.upsample.conv.{kind}"
        case [side, "mid_block", "resnets", layer, *_]:
            return f"{side}.mid.block_{int(layer) + 1}.{_shortcut(words[4:])}"
        case [side, "mid_block", "attentions", "0", *_]:
            part, kind = ".".join(words[4:-1]), words[-1]
            if part in _VAE_ATTENTION:
                return f"{side}.mid.attn_1.{_VAE_ATTENTION[part]}.{kind}"
        case [("encoder" | "decoder"), ("conv_in" | "norm_out" | "conv_out"), _]:
            return ".".join(words)
        case [("quant_conv" | "post_quant_conv"), _]:
            return name
    raise UsageError(
        f"the autoencoder's weight {name} has no name in the original single-file layout; "
        "export in diffusers' own (--format pipeline)"
    )


def _shortcut(words: Iterable[str]) -> str:
    return ".".join(words).replace("conv_shortcut", "nin_shortcut")


def _open_clip_key(name: str) -> tuple[str, tuple[str, ...]]:
    """OpenCLIP's name of a CLIP text weight, and all the CLIP weights that go into it, in order."""
    if name in _OPEN_CLIP_ENDS:
        return _OPEN_CLIP_ENDS[name], (name,)
    match name.split("."):
        case ["encoder", "layers", layer, "self_attn", part, kind] if part in _QKV:
            base = f"encoder.layers.{layer}.self_attn"
            sources = tuple(f"{base}.{each}.{kind}" for each in _QKV)
            return f"transformer.resblocks.{layer}.attn.in_proj_{kind}", sources
        case ["encoder", "layers", layer, *part, kind] if ".".join(part) in _OPEN_CLIP:
            return f"transformer.resblocks.{layer}.{_OPEN_CLIP['.'.join(part)]}.{kind}", (name,)
    raise UsageError(
        f"the text encoder's weight {name} has no name in the original single-file layout; "
        "export in diffusers' own (--format pipeline)"
    )


def _computed(weights: Weights | Computed, made: Made) -> Computed:
    def compute(key: str) -> Tensor:
        sources, spec = made[key]
        parts = [weights[name] for name in sources]
        if key.endswith(f".{_PROJECTION}"):
            return parts[0].T.contiguous()
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).reshape(spec.shape)

    return Computed({key: spec for key, (_, spec) in made.items()}, compute)


def merged(*parts: Computed) -> Computed:
    """Several models' tensors as one file's; no two have a name in common."""
    homes = {key: part for part in parts for key in part.specs}
    specs = {key: part.specs[key] for key, part in homes.items()}
    return Computed(specs, lambda key: homes[key][key])
