"""The equations, against worked arithmetic and against diffusers."""

from __future__ import annotations

import pytest
import torch
from support.tiny_models import make_scheduler

from erase.diffusion.latents import encode_images, sample_latents
from erase.diffusion.noise_schedule import NoiseSchedule
from erase.models.bundle import Bundle
from erase.models.prediction import guided_prediction, predict
from plumbing.errors import UsageError


def noise_case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents, noise and timesteps of three images."""
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(3, 4, 8, 8, generator=generator) for _ in range(2))
    return latents, noise, torch.tensor([0, 500, 999])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_noise_and_target_are_those_of_diffusers(kind: str) -> None:
    scheduler = make_scheduler(kind)
    schedule = NoiseSchedule.of(scheduler)
    latents, noise, timesteps = noise_case()
    torch.testing.assert_close(
        schedule.add_noise(latents, noise, timesteps),
        scheduler.add_noise(latents, noise, timesteps),
    )
    target = noise if kind == "epsilon" else scheduler.get_velocity(latents, noise, timesteps)
    torch.testing.assert_close(schedule.prediction_target(latents, noise, timesteps), target)


def test_v_and_noisy_latents_give_the_latents_back() -> None:
    """x_0 = sqrt(abar) x_t - sqrt(1 - abar) v, whatever the noise."""
    schedule = NoiseSchedule.of(make_scheduler("v_prediction"))
    latents, noise, timesteps = noise_case()
    x_t = schedule.add_noise(latents, noise, timesteps)
    v = schedule.prediction_target(latents, noise, timesteps)
    alpha_bar = schedule.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    torch.testing.assert_close(alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * v, latents)


def test_models_that_predict_the_sample_are_refused() -> None:
    with pytest.raises(UsageError, match="only epsilon and v_prediction"):
        NoiseSchedule.of(make_scheduler("sample"))


def test_a_posterior_without_spread_gives_its_scaled_mean() -> None:
    """s (mu + exp(logvar / 2) n): 0.5 (3 + 2 * 1) = 2.5, and 0.5 * 3 where logvar is -inf."""
    mean, noise = torch.tensor([3.0]), torch.tensor([1.0])
    assert sample_latents(mean, torch.tensor([4.0]).log(), noise, 0.5).item() == pytest.approx(2.5)
    assert sample_latents(mean, torch.tensor([-torch.inf]), noise, 0.5).item() == 1.5


def test_guidance_weighs_the_two_predictions(tiny: Bundle) -> None:
    """Guidance 7.5: 8.5 conditional - 7.5 unconditional; guidance 0: the conditional alone."""
    prompts = tiny.encode(("a church", "a dog", "x"))
    empty = tiny.encode_nothing()
    latents, _, timesteps = noise_case()
    with torch.no_grad():
        with_prompt = predict(tiny.unet, latents, timesteps, prompts)
        without = predict(tiny.unet, latents, timesteps, tiny.encode(("",) * 3))
        guided = guided_prediction(tiny.unet, latents, timesteps, prompts, empty, 7.5)
        plain = guided_prediction(tiny.unet, latents, timesteps, prompts, empty, 0)
    torch.testing.assert_close(guided, 8.5 * with_prompt - 7.5 * without, atol=1e-4, rtol=0)
    assert torch.equal(plain, with_prompt)


def test_images_become_posteriors_of_the_latent_shape(tiny: Bundle) -> None:
    mean, logvar = encode_images(tiny.vae, torch.zeros(2, 3, 16, 16))
    assert mean.shape == logvar.shape == (2, 4, 8, 8)


def test_train_methods_part_the_weights(tiny: Bundle) -> None:
    everything, cross, rest, own = (
        set(tiny.trainable(m)) for m in ("full", "xattn", "noxattn", "selfattn")
    )
    assert cross
    assert cross | rest == everything
    assert not cross & rest
    assert own
    assert own < rest
    with pytest.raises(UsageError, match="--train-method lora: selects no weight of this UNet"):
        tiny.trainable("lora")


def test_noisy_timesteps_count_by_their_inverse_snr_within_the_limit() -> None:
    """abar 0.8, 0.5, 0.2, 0.01: SNR 4, 1, 1/4, 1/99, so 1/4 (raised to 1), 1, 4, 99 (cut)."""
    schedule = NoiseSchedule(torch.tensor([0.8, 0.5, 0.2, 0.01]), "epsilon")
    weights = schedule.noise_weight(torch.arange(4), 30)
    assert weights.shape == (4, 1, 1, 1)
    assert weights.flatten().tolist() == pytest.approx([1, 1, 4, 30])
    assert (schedule.noise_weight(torch.arange(4), 1) == 1).all()
