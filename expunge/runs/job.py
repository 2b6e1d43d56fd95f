"""All that a training takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from erase.diffusion.conditioning import Conditioning
from erase.methods.method import Trained
from erase.models.bundle import Bundle
from erase.saliency.mask import SaliencyMask
from erase.training.watch import Gone
from expunge.runs.plan import Plan
from plumbing.processes import Team


@dataclass(frozen=True)
class Job:
    """All that a training takes."""

    method: Trained
    sd: Bundle
    parameters: Mapping[str, nn.Parameter]
    mask: SaliencyMask
    sets: Mapping[str, Any]
    """What is trained on or looked at, by the names of `erase.methods.method.Sets`."""
    plan: Plan
    team: Team
    guard: Conditioning | None
    """Prompts that the quality guard looks at; None for no guard."""
    gone: Gone | None
    """Ends the training once the concept is gone."""
