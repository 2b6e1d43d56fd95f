"""Whether the parts of a Stable Diffusion fit each other, by their configs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Configs = Mapping[str, Mapping[str, Any]]

_TIME_IDS = 6
"""Numbers that SDXL's UNet is told of an image's size and place."""


def misfits(configs: Configs) -> Iterator[str]:
    """What keeps the parts of a Stable Diffusion 1.x or 2.x from working together."""
    unet = configs["unet"]
    yield from _of_any(configs, configs["text_encoder"]["hidden_size"])
    if unet["addition_embed_type"] not in (None, "text"):
        yield _told(unet, "addition_embed_type", "is not of a Stable Diffusion 1.x or 2.x")


def misfits_xl(configs: Configs) -> Iterator[str]:
    """What keeps the parts of an SDXL from working together."""
    unet, second = configs["unet"], configs["text_encoder_2"]
    lengths = {configs[part]["tokens"] for part in ("tokenizer", "tokenizer_2")}
    if len(lengths) > 1:
        shown = " and ".join(map(str, sorted(lengths)))
        yield (
            f"its text encoders take {shown} tokens, and what they make of a prompt is laid side "
            "by side; get them and their tokenizers from one model"
        )
    yield from _of_any(configs, configs["text_encoder"]["hidden_size"] + second["hidden_size"])
    if unet["addition_embed_type"] != "text_time":
        yield _told(unet, "addition_embed_type", "is not of an SDXL")
        return
    ids = _TIME_IDS * (unet["addition_time_embed_dim"] or 0)
    taken, given = unet["projection_class_embeddings_input_dim"], second["projection_dim"] + ids
    if taken != given:
        yield (
            f"its UNet takes {taken} features beside the prompt and its text_encoder_2 and the "
            f"size make {given}; get both from one model"
        )


def _of_any(configs: Configs, width: int) -> Iterator[str]:
    unet, vae = configs["unet"], configs["vae"]
    yield from _other_inputs(unet)
    taken = unet["encoder_hid_dim"] or unet["cross_attention_dim"]
    widths = set(taken) if isinstance(taken, list | tuple) else {taken}
    if widths != {width}:
        shown = " and ".join(map(str, sorted(widths)))
        yield (
            f"its UNet takes text embeddings of width {shown} and its text encoder gives {width}; "
            "get both from one model"
        )
    if unet["in_channels"] != vae["latent_channels"]:
        yield (
            f"its UNet takes latents of {unet['in_channels']} channels and its VAE gives "
            f"{vae['latent_channels']}; get both from one model"
        )
    if {vae["in_channels"], vae["out_channels"]} != {3}:
        yield f"its VAE is of images of {vae['in_channels']} channels, not of red, green and blue"


def _other_inputs(unet: Mapping[str, Any]) -> Iterator[str]:
    """What a UNet is to be told beside the prompt; expunge, as text-to-image, tells it no more."""
    if unet["class_embed_type"] is not None:
        yield _told(unet, "class_embed_type", "wants to be told a class beside the prompt")
    elif unet["num_class_embeds"] is not None:
        yield _told(unet, "num_class_embeds", "wants to be told a class beside the prompt")
    if unet["encoder_hid_dim_type"] not in (None, "text_proj"):
        yield _told(unet, "encoder_hid_dim_type", "wants to be shown an image beside the prompt")
    if unet["dual_cross_attention"]:
        yield _told(unet, "dual_cross_attention", "wants to be shown an image beside the prompt")
    if unet["time_cond_proj_dim"] is not None:
        yield _told(unet, "time_cond_proj_dim", "is a latent consistency model's")


def _told(unet: Mapping[str, Any], key: str, what: str) -> str:
    return (
        f"its UNet {what} ({key} is {unet[key]!r:.40}); "
        "give a text-to-image model that is told prompts only"
    )
