"""A model's sampler, a step at a time: what follows trajectories instead of drawing images."""

from __future__ import annotations

from torch import Tensor

from erase.models.bundle import Bundle


class Sampling:
    """DDIM in some steps on a model's own schedule; no step knows of those before."""

    def __init__(self, bundle: Bundle, steps: int) -> None:
        """A model that it cannot draw is a UsageError."""
        self._sampler, self._steps = bundle.pipeline("ddim").scheduler, steps
        self._device = bundle.denoiser.device
        self._sampler.set_timesteps(steps, device=self._device)
        self.timesteps: Tensor = self._sampler.timesteps.clone()
        """[S], the noisiest first."""
        self.shape = _latent_shape(bundle)
        """(C, h, w) of one image's latents."""

    def begin(self, noise: Tensor) -> Tensor:
        """The latents that sampling begins with, of standard normal noise."""
        return noise.to(self._device) * getattr(self._sampler, "init_noise_sigma", 1.0)

    def step(self, prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        """The latents one step further, given what the denoiser says of these at `timestep`."""
        # Some samplers count their own steps.
        self._sampler.set_timesteps(self._steps, device=self._device)
        return self._sampler.step(prediction, timestep, latents, return_dict=False)[0]


def _latent_shape(bundle: Bundle) -> tuple[int, int, int]:
    height, width = bundle.architecture.latent_size(bundle.denoiser.config)
    return bundle.vae.config["latent_channels"], height, width


def guided(without: Tensor, with_it: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance in diffusers' terms: 1 leaves the prediction with the prompt."""
    return without + scale * (with_it - without)
