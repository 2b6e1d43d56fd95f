"""How an evaluation's images were drawn, in words and as flags."""

from typing import Any

from plumbing.visible_text import plain


def drawing_flags(protocol: Any) -> dict[str, Any]:
    """The flags of a protocol with one guidance and seed for all images."""
    names = ("sampler", "steps", "dtype", "guidance_scale", "seed")
    return {name: getattr(protocol, name) for name in names}


def drawing_line(name: str, protocol: Any, sizes: str = "", seeds: str = "") -> str:
    """`protocol full, 300 images a model, seed 0, ddim in 50 steps, …`.

    `sizes` and `seeds` are for a protocol that has many.
    """
    images = protocol.images
    count = sum(images.values()) if isinstance(images, dict) else images
    guidance = "each prompt's own" if protocol.guidance_scale == "row" else protocol.guidance_scale
    return (
        f"{name}, {count:,} images a model, {seeds or f'seed {protocol.seed}'}, "
        f"{protocol.sampler} in {protocol.steps} steps, guidance {guidance}, "
        f"{plain(sizes or f'{protocol.width}x{protocol.height}', 60)} pixels, "
        f"{plain(protocol.dtype, 20)}"
    )
