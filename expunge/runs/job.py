"""All that a training takes, and how it fits into the memory that there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from erase.diffusion.conditioning import Conditioning
from erase.image_sets.datasets import ForgetSet, RetainSet
from erase.models.stable_diffusion import StableDiffusion
from erase.saliency.mask import SaliencyMask
from erase.training.watch import Gone
from expunge.runs.plan import Plan
from expunge.settings.groups import SalUnConfig
from plumbing.processes import Team


@dataclass(frozen=True)
class Job:
    """All that a training takes."""

    sd: StableDiffusion
    parameters: Mapping[str, nn.Parameter]
    mask: SaliencyMask
    forget: ForgetSet
    retain: RetainSet
    plan: Plan
    settings: SalUnConfig
    team: Team
    guard: Conditioning | None
    """Prompts that the quality guard looks at; None for no guard."""
    gone: Gone | None
    """Ends the training once the concept is gone."""

    @property
    def steps(self) -> int:
        """How many were asked for."""
        assert self.settings.steps
        return self.settings.steps
