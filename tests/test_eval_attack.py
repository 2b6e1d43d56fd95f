"""Laws of the attacks, on tiny real models of each kind."""

from __future__ import annotations

import json
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.attacked import (
    KNOWN,
    NUMBERS,
    Dying,
    Scene,
    counting_steps,
    digest,
    draw,
    first,
    kit,
    learned,
    make_scene,
    same,
    under,
)

from eval.attack import fitting
from eval.attack.attack import Attack, turns
from eval.attack.complete import middle_of, paint
from eval.attack.prompt import _timesteps, onto_simplex
from eval.attack.relearn import add_lora
from plumbing.passes import PassCounter

IMAGES: dict[str, dict[str, Any]] = {
    "learned-word": {"forms": (("own", 1, "images"),)},
    "embedding": {"noised": ("images",)},
    "relearn": {},
    "prompt": {},
    "invert": {},
}
"""What changes numbers so that no trajectory is followed."""
RESUMED: list[tuple[str, dict[str, Any]]] = [
    ("prompt", {"objectives": ("noise",), "timesteps": 1, "iterations": 7}),
    ("prompt", {"objectives": ("noise",), "timesteps": 7, "iterations": 1}),
]
for _steps in ((7,), (1, 7), (4, 7)):
    RESUMED += [
        ("learned-word", {"forms": (("own", 1, "images"),), "steps": _steps}),
        ("learned-word", {"forms": (("near", 1, "path"),), "steps": _steps}),
        ("embedding", {"noised": ("path",), "steps": _steps}),
    ]
every = pytest.mark.parametrize("attack", KNOWN.values(), ids=KNOWN)


@pytest.fixture(scope="module", params=["model_folder", "other_model_folder", "sdxl_folder"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A tiny model of each kind under attack; not to be altered."""
    return make_scene(request.getfixturevalue(request.param), tmp_path_factory.mktemp("aim"))


@pytest.fixture(scope="module")
def sd(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The first of them alone."""
    return make_scene(model_folder, tmp_path_factory.mktemp("aim"))


@every
def test_it_runs_through_and_changes_no_model(scene: Scene, attack: Attack, tmp_path: Path) -> None:
    own, numbers = kit(tmp_path), NUMBERS[attack.name]
    models = (scene.model, scene.aim.original)
    before, names = [digest(model) for model in models], []
    for variant in attack.run(scene.model, scene.aim, own, **numbers):
        names.append(variant.name)
        assert len(variant.told) == len(variant.prompts) == own.count
        latents = draw(variant, own)
        assert latents.shape == (own.count, 4, 8, 8) and latents.isfinite().all()
    assert len({*names}) == len(names) == attack.variants(**numbers)
    assert [digest(model) for model in models] == before


@pytest.mark.parametrize("budget", ["quick", "standard", "published"])
@every
def test_a_budget_has_the_numbers_that_the_attack_takes(attack: Attack, budget: Any) -> None:
    numbers = attack.budgets[budget]
    signature(attack.run).bind(None, None, None, **numbers)
    assert json.loads(json.dumps(numbers)).keys() == numbers.keys()
    assert attack.variants(**numbers) >= 1
    passes = attack.passes(count=16, sampler_steps=20, **numbers)
    twice = attack.passes(count=32, sampler_steps=20, **numbers)
    assert isinstance(passes, int) and 0 <= passes <= twice


@pytest.mark.parametrize("name", ["learned-word", "embedding"])
def test_published_budgets_learn_for_longer_than_quick_ones(name: str) -> None:
    attack, told = KNOWN[name], {"count": 16, "sampler_steps": 20}
    quick, published = (attack.passes(**told, **attack.budgets[b]) for b in ("quick", "published"))
    assert 0 < quick < published


@pytest.mark.parametrize("name", IMAGES)
def test_it_takes_the_passes_that_it_says(sd: Scene, tmp_path: Path, name: str) -> None:
    told: list[int] = []
    own, numbers = replace(kit(tmp_path), progress=told.append), {**NUMBERS[name], **IMAGES[name]}
    with PassCounter() as counter:
        counter.watch("denoiser", sd.model.denoiser)
        assert list(KNOWN[name].run(sd.model, sd.aim, own, **numbers))
        counted = counter.take().denoiser
    assert sum(told) == KNOWN[name].passes(count=own.count, sampler_steps=2, **numbers) == counted


def test_a_word_learned_for_no_steps_is_the_concepts_own(scene: Scene, tmp_path: Path) -> None:
    found = first(scene, kit(tmp_path, count=3), "learned-word", steps=(0,))
    prompts = [template.format("church") for template in scene.aim.templates]
    assert same(found.told, scene.model.encode(turns(prompts, 3)))


def test_an_embedding_learned_for_no_steps_is_the_prompts(scene: Scene, tmp_path: Path) -> None:
    found = first(scene, kit(tmp_path), "embedding", steps=(0,)).told
    plain = scene.model.encode([scene.aim.templates[0].format("church")])
    assert same(found, plain[torch.zeros(2, dtype=torch.long)])


@pytest.mark.parametrize("weights", ["full", "lora"])
def test_training_for_no_steps_draws_what_prompts_alone_do(
    scene: Scene, tmp_path: Path, weights: str
) -> None:
    own = kit(tmp_path)
    found = first(scene, own, "relearn", forms=((weights, "concept"),), steps=(0,))
    assert torch.equal(draw(found, own), draw(first(scene, own, "none"), own))


def test_what_the_original_did_not_begin_is_the_prompts_alone(scene: Scene, tmp_path: Path) -> None:
    own = kit(tmp_path)
    begun, plain = first(scene, own, "complete", begun=(0.0,)), first(scene, own, "none")
    assert torch.equal(draw(begun, own), draw(plain, own))


def test_a_search_begins_with_its_prompts_alone(scene: Scene, tmp_path: Path) -> None:
    found = first(scene, kit(tmp_path, count=5), "prompt")
    assert list(found.prompts) == turns(scene.aim.captions, 5)
    assert same(found.told, scene.model.encode(found.prompts))


@pytest.mark.parametrize("name", ["learned-word", "embedding", "prompt", "relearn"])
def test_the_seed_decides_what_is_learned(sd: Scene, tmp_path: Path, name: str) -> None:
    seeds = enumerate((0, 0, 1))
    one, again, other = (learned(sd, kit(tmp_path / str(i), seed), name) for i, seed in seeds)
    assert one == again
    assert one.keys() == other.keys()
    assert all(learnt != other[name] for name, learnt in one.items())


@pytest.mark.parametrize("killed", [5, 7])
@pytest.mark.parametrize(("name", "numbers"), RESUMED, ids=str)
def test_killed_and_resumed_it_learns_the_same_in_fewer_steps(
    sd: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, numbers: dict[str, Any], killed: int,
) -> None:  # fmt: skip
    """In its fifth or seventh step of two rows; after the third and sixth its state is saved."""
    monkeypatch.setattr(fitting, "SAVE_EVERY", 3)
    whole, own = learned(sd, kit(tmp_path / "whole"), name, **numbers), kit(tmp_path)
    dying = replace(own, progress=Dying(killed * 2 * fitting.BATCH_PASSES))
    with pytest.raises(KeyboardInterrupt):
        learned(sd, dying, name, **numbers)
    with counting_steps(sd.model) as steps:
        resumed = learned(sd, own, name, **numbers)
    assert resumed.items() <= whole.items() and [*resumed][-1] == [*whole][-1]
    assert 0 < len(steps) < 7


def test_relearning_leaves_nothing_in_the_model(scene: Scene, tmp_path: Path) -> None:
    latents, times = scene.model.noise([1]), torch.tensor([500])
    told = scene.model.encode(["a church"])
    before = scene.model.predict(latents, times, told)
    for variant in KNOWN["relearn"].run(
        scene.model, scene.aim, kit(tmp_path), **NUMBERS["relearn"]
    ):
        assert not torch.equal(variant.model.predict(latents, times, told), before)
        assert torch.equal(scene.model.predict(latents, times, told), before)


def test_a_lora_changes_nothing_before_it_is_trained(scene: Scene) -> None:
    copy, latents, times = scene.model.fork(), scene.model.noise([1]), torch.tensor([500])
    told = copy.encode(["a church"])
    before = copy.predict(latents, times, told)
    added = add_lora(copy.denoiser, 0)
    assert torch.equal(copy.predict(latents, times, told), before)
    assert {*added} == {p for p in copy.denoiser.parameters() if p.requires_grad}
    for up in added[1::2]:
        assert not up.any()
        up.data += 0.1
    assert not torch.allclose(copy.predict(latents, times, told), before)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8), st.integers(0, 99))
def test_the_simplex_has_no_nearer_point(values: list[float], seed: int) -> None:
    """Of corners and random points; and a point of it stays where it is."""
    point = torch.tensor(values, dtype=torch.float64)
    found = onto_simplex(point)
    assert (found >= 0).all() and found.sum().item() == pytest.approx(1)
    torch.testing.assert_close(onto_simplex(found), found)
    rows = torch.rand(
        50, len(point), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    shares = -rows.clamp(min=1e-9).log()
    others = torch.cat([shares / shares.sum(dim=1, keepdim=True), torch.eye(len(point))])
    nearest = (others - point).norm(dim=1).min()
    assert (found - point).norm() <= nearest + 1e-9


def test_a_search_goes_over_evenly_spread_timesteps() -> None:
    """Of 10, 30, … 990: two are the middles of its halves, five of its fifths."""
    assert _timesteps(50) == list(range(10, 1000, 20))
    assert _timesteps(1) == [510]
    assert _timesteps(2) == [250, 750]
    assert _timesteps(5) == [110, 310, 510, 710, 910]


def test_the_middle_has_its_share_of_each_side() -> None:
    """Half of 8 x 12 is 4 x 6, two from above and three from the left."""
    wanted = torch.zeros(8, 12, dtype=torch.bool)
    wanted[2:6, 3:9] = True
    assert torch.equal(middle_of(torch.zeros(2, 4, 8, 12), 0.5), wanted)
    assert middle_of(torch.zeros(1, 4, 8, 8), 1.0).all()
    assert not middle_of(torch.zeros(1, 4, 8, 8), 0.0).any()


def test_painting_keeps_the_edge_of_the_picture(scene: Scene) -> None:
    model, middle = scene.model, torch.zeros(8, 8, dtype=torch.bool)
    middle[2:6, 2:6] = True
    pictures, noise = model.latents(scene.aim.images[:2]), model.noise([0, 1])
    found = paint(model, model.encode(scene.aim.captions[:2]), pictures, noise, 0.5)
    assert torch.equal(found[..., ~middle], pictures[..., ~middle])
    assert (found[..., middle] != pictures[..., middle]).all()


@pytest.mark.parametrize(
    ("folder", "steps", "iterations"),
    [("other_model_folder", 4, 20), ("model_folder", 50, 8), ("sdxl_folder", 50, 8)],
)
def test_what_is_inverted_is_drawn_again(
    request: pytest.FixtureRequest, folder: str, steps: int, iterations: int
) -> None:
    model = under(request.getfixturevalue(folder), steps, guidance=1.0)
    latents, told = model.noise([5]), model.encode([""])
    noise = model.invert(latents, told, iterations)
    assert (noise - latents).abs().max() > 0.1
    torch.testing.assert_close(model.denoise(noise, told), latents, rtol=0, atol=0.02)


def test_without_other_words_the_prompts_stand_for_them(sd: Scene, tmp_path: Path) -> None:
    bare = replace(sd, aim=replace(sd.aim, probes=()))
    assert list(first(bare, kit(tmp_path), "words").prompts) == turns(sd.aim.prompts, 2)


def test_a_prompt_may_have_the_sign_that_stands_for_a_word(sd: Scene, tmp_path: Path) -> None:
    told = replace(sd.aim, captions=tuple(f"~ {c} ~" for c in sd.aim.captions))
    assert len(learned(replace(sd, aim=told), kit(tmp_path), "prompt")) > 0
