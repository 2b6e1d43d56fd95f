"""The numbers: our defaults, and the settings that SalUn's authors published."""

from typing import Any, Literal

PresetName = Literal["salun-imagenette", "salun-nudity"]

DEFAULTS: dict[str, Any] = {
    "density": 0.5,
    "train_method": "xattn",
    "saliency_guidance": 7.5,
    "batch_size": 16,
    "steps": 100,
    "lr": 1e-5,
    "lr_schedule": "constant",
    "alpha": 3.0,
    "teacher": "frozen",
    "retain_target": "teacher",
    "noise_weight": 30.0,
    "relabel": "random",
    "forget_images": 64,
    "retain_images": 256,
}

_PUBLISHED: dict[str, Any] = {
    "density": 0.5,
    "train_method": "full",
    "saliency_guidance": 7.5,
    "batch_size": 8,
    "lr": 1e-5,
    "lr_schedule": "constant",
    "teacher": "current",
    "retain_target": "noise",
    "noise_weight": 1.0,
    "relabel": "fixed",
}

PRESETS: dict[PresetName, dict[str, Any]] = {
    # Five epochs over some 960 images of a class in batches of 8.
    "salun-imagenette": {
        **_PUBLISHED,
        "steps": 600,
        "alpha": 0.5,
        "forget_images": 960,
        "retain_images": 960,
    },
    # One epoch over 800 images in batches of 8.
    "salun-nudity": {
        **_PUBLISHED,
        "steps": 100,
        "alpha": 0.1,
        "forget_images": 800,
        "retain_images": 800,
    },
}
