"""What a file of tensors is, by their names: a part of a model, an addition to one, or our own.

Nothing here reads a tensor, and nothing imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from erase.tensors.quantised import quantised
from plumbing.file_content import GET_PLAIN

_WHOLE = "give the whole model"
_USED_WITH = "give the model that it is used with"
_MERGED = "merge it into its model (fuse_lora of diffusers), and give that"
_IN_FOLDER = (
    "put it into a copy of its model's diffusers folder, in the place of "
    "unet/diffusion_pytorch_model.safetensors (or .bin, if it is a pickle), and give that folder"
)


class Told(NamedTuple):
    """What a file is, with its article, and what to do."""

    what: str
    remedy: str


class _Spec(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


_OWN = {
    "delta": Told("a delta of `expunge export`", "make a model of it with `expunge apply`"),
    "lora": Told("a LoRA of `expunge export`", "make a model of it with `expunge apply`"),
}
_RULES: tuple[tuple[str, Told], ...] = (
    (
        r".*(\.lora_|_lora\d?\.|\.lora\.|\.hada_w|\.lokr_w|\.oft_|\.dora_scale)|lora_",
        Told("a LoRA", _MERGED),
    ),
    (
        r"(emb_params|clip_l|clip_g)$",
        Told("an embedding (textual inversion)", _USED_WITH),
    ),
    (
        r"(control_model\.|controlnet_|input_hint_block\.|control_net\.)",
        Told("a ControlNet", _USED_WITH),
    ),
    (r"(adapter\.)?body\.\d+\.(block|resnets|down|in_conv)", Told("a T2I-Adapter", _USED_WITH)),
    (r"(ip_adapter\.|image_proj\.)", Told("an IP-Adapter", _USED_WITH)),
    (r"(?!model\.).*\.motion_modules\.", Told("a motion module of AnimateDiff", _USED_WITH)),
    (r"(vision_model|visual|image_encoder)\.", Told("an image encoder of CLIP", _WHOLE)),
    (
        r"(conv_first\.|model\.1\.sub\.|params_ema\.|body\.0\.rdb1\.)",
        Told("an upscaler of images", _USED_WITH),
    ),
    (
        r"(transformer\.)?(single_)?transformer_blocks\.",
        Told("a transformer in diffusers' names (as of FLUX or SD 3)", GET_PLAIN),
    ),
)
_UNET = re.compile(r"(unet\.)?(conv_in|conv_out|time_embedding|(down|up)_blocks|mid_block)\.")
_VAE = re.compile(r"(first_stage_model|vae|encoder\.down|encoder\.conv|decoder\.(up|conv|mid))[._]")
_TEXT = re.compile(
    r"(cond_stage_model|conditioner|text_model|text_encoder\w*|text_encoders|transformer\.text_model"
    r"|transformer\.resblocks|encoder\.(layers|block)\.\d+|te\d?|model\.encoder\.layers)\."
)


def kind_of(specs: Mapping[str, _Spec], metadata: Mapping[str, str] | None = None) -> Told | None:
    """What is in a file that is no whole model; None if its names tell nothing of it."""
    told = metadata or {}
    if (own := _OWN.get(told.get("expunge.format", ""))) is not None:
        return own
    if any(key.startswith("shape:") for key in told):
        return Told("a mask of `expunge mask`", "give it as --mask")
    if (how := quantised(specs)) is not None:
        return Told(f"a model {how}, too coarse to be erased from", GET_PLAIN)
    for pattern, found in _RULES:
        matches = re.compile(pattern).match
        if any(matches(name) for name in specs):
            return found
    return _part(specs) or (_embedding(specs) if specs else Told("a file of no tensors", _WHOLE))


def _part(specs: Mapping[str, _Spec]) -> Told | None:
    """A part of a Stable Diffusion alone."""
    if any(_UNET.match(name) for name in specs):
        return _unet(specs)
    ldm = [
        name for name in specs if re.match(r"(model\.diffusion_model|(in|out)put_blocks)\.", name)
    ]
    others = {"an autoencoder (VAE)": _VAE, "a text encoder": _TEXT}
    found = [what for what, rule in others.items() if any(map(rule.match, specs))]
    if ldm and not found:
        return Told("a UNet alone", "get the model's whole file")
    if not ldm and len(found) == 1:
        return Told(f"{found[0]} alone", _WHOLE)
    return None


def _unet(specs: Mapping[str, _Spec]) -> Told:
    if all(".attn2." in name for name in specs):
        return Told(
            "the cross-attention of a UNet alone, with diffusers' names, as ESD writes it",
            "load it into its model's UNet (load_state_dict with strict=False), save that "
            "pipeline, and give its folder",
        )
    if not any(re.match(r"(unet\.)?conv_in\.", name) for name in specs):
        return Told("some weights of a UNet with diffusers' names", _WHOLE)
    return Told("a UNet with diffusers' names", _IN_FOLDER)


def _embedding(specs: Mapping[str, _Spec]) -> Told | None:
    """Of diffusers: one or a few vectors of a text encoder's width, under the word they are of."""
    widths = {spec.shape[-1] if spec.shape else 0 for spec in specs.values()}
    flat = all(len(spec.shape) <= 2 and "." not in name for name, spec in specs.items())
    if len(specs) <= 4 and flat and widths <= {768, 1024, 1280}:
        return Told("an embedding (textual inversion)", _USED_WITH)
    return None
