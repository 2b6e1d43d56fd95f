"""Laws of unlearning in classifiers, on digits and a small model with batch norm and dropout."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from erase import unlearn
from erase.classification.examples import Examples, shuffled
from erase.classification.recipes import MethodName
from erase.classification.rl import other_labels
from erase.classification.salun import saliency_mask
from expunge.classification_benchmark.augment import crop_and_flip
from expunge.classification_benchmark.data import read_data
from expunge.classification_benchmark.metrics import probabilities
from expunge.classification_benchmark.models import build_model
from plumbing.errors import UsageError

Pair = tuple[Tensor, Tensor]
MASKABLE = [method for method in get_args(MethodName) if method != "retrain"]


@cache
def trained() -> tuple[nn.Module, Pair, Pair]:
    """A model that knows 400 digits, 100 of which are to be forgotten."""
    train = read_data("digits", None, 400).train
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(512, 10),
    )
    everything = (train.images, train.labels)
    model = unlearn(model, everything, everything, "retrain", lr=0.05, epochs=8).eval()
    forget, retain = train.take(torch.arange(100)), train.take(torch.arange(100, 400))
    return model, (forget.images, forget.labels), (retain.images, retain.labels)


def bits(model: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers; floats as integers, so that -0 is not 0."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return {n: t.view(torch.int32) if t.is_floating_point() else t for n, t in state.items()}


def loss(model: nn.Module, pair: Pair) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model.eval()(pair[0]), pair[1]))


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("method", MASKABLE)
def test_a_mask_leaves_all_other_weights_alone(method: MethodName, frozen: bool) -> None:
    """Whatever momentum and weight decay do; the model that was given stays as it is.

    Every buffer, too, when statistics are frozen; else batch norm's move, and nothing else.
    """
    model, forget, retain = trained()
    before = bits(model)
    result = unlearn(
        model.train(),
        forget,
        retain,
        method,
        density=0.3,
        lr=0.02,
        epochs=2,
        weight_decay=0.1,
        freeze_statistics=frozen,
    )
    assert all(torch.equal(value, before[name]) for name, value in bits(model).items())
    assert model.training and result.training
    model.eval()
    again = deepcopy(model)
    after, parameters = bits(result), dict(again.named_parameters())
    mask = saliency_mask(again, parameters, Examples(*forget), 0.3, batch_size=128)
    assert mask.kept == round(0.3 * mask.total)
    for name, value in after.items():
        if name not in parameters:
            assert torch.equal(value, before[name]) == frozen, name
            continue
        chosen = mask.bits(name)
        assert torch.equal(value[~chosen], before[name][~chosen]), name
        assert not chosen.any() or (value[chosen] != before[name][chosen]).float().mean() > 0.9
    assert all(p.requires_grad and p.grad is None for p in result.parameters())


def test_without_a_mask_statistics_can_be_frozen_as_well() -> None:
    model, forget, retain = trained()
    before = bits(model)
    for frozen in (True, False):
        after = bits(unlearn(model, forget, retain, "ft", lr=0.01, freeze_statistics=frozen))
        assert torch.equal(after["1.running_mean"], before["1.running_mean"]) == frozen
        assert not torch.equal(after["5.weight"], before["5.weight"])


def test_a_training_that_diverges_is_refused() -> None:
    model, forget, retain = trained()
    with pytest.raises(UsageError, match="ft diverged: weights are no longer finite"):
        unlearn(model, forget, retain, "ft", lr=1e9, epochs=3)


def test_frozen_parameters_stay_frozen_and_out_of_the_mask() -> None:
    model, forget, retain = trained()
    partly = deepcopy(model)
    partly[0].requires_grad_(False)
    result = unlearn(partly, forget, retain, lr=0.05, epochs=1)
    assert torch.equal(result[0].weight, partly[0].weight) and not result[0].weight.requires_grad
    assert not torch.equal(result[5].weight, partly[5].weight)
    with pytest.raises(UsageError, match="nothing can be trained"):
        unlearn(partly.requires_grad_(False), forget, retain)
    trained.cache_clear()


def test_random_labels_are_never_the_true_ones_and_all_others_are_as_likely() -> None:
    """30,000 draws over 9 wrong labels: 3,333 each, standard deviation 54."""
    labels = torch.arange(10).repeat(3000)
    wrong = other_labels(labels, 10, torch.Generator().manual_seed(0))
    assert not (wrong == labels).any() and wrong.min() == 0 and wrong.max() == 9
    shifts = ((wrong - labels) % 10).bincount(minlength=10)
    assert shifts[0] == 0 and (shifts[1:] - 30_000 / 9).abs().max() < 5 * 54
    assert torch.equal(
        other_labels(torch.tensor([0, 1]), 2, torch.Generator()), torch.tensor([1, 0])
    )


class Unreadable:
    """A forget set that must not be looked at."""

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> Pair:
        raise AssertionError(f"example {index} of the forget set was read")


@pytest.mark.parametrize("method", ["retrain", "ft", "l1_sparse"])
def test_what_learns_from_the_retain_set_alone_never_sees_the_forget_set(
    method: MethodName,
) -> None:
    model, _, retain = trained()
    unlearn(model, Unreadable(), retain, method, epochs=1)
    with pytest.raises(AssertionError, match="of the forget set was read"):
        unlearn(model, Unreadable(), retain, "rl", epochs=1)


def test_retrain_keeps_nothing_of_the_model_that_it_is_given() -> None:
    model, forget, retain = trained()
    other = deepcopy(model)
    for tensor in other.state_dict().values():
        tensor.fill_(3)
    first, second = (unlearn(m, forget, retain, "retrain", epochs=1) for m in (model, other))
    assert all(
        torch.equal(a, b) for a, b in zip(bits(first).values(), bits(second).values(), strict=True)
    )
    other.register_parameter("scale", nn.Parameter(torch.ones(1)))
    with pytest.raises(UsageError, match="retrain: the model has scale but no reset_parameters"):
        unlearn(other, forget, retain, "retrain")


def test_each_method_goes_its_way() -> None:
    """GA raises the forget loss; RL does and holds the retain loss; l1 shrinks; FT fits retain."""
    model, forget, retain = trained()
    ga = unlearn(model, forget, retain, "ga", lr=0.001, epochs=1)
    assert loss(ga, forget) > loss(model, forget)
    for method in ("rl", "salun"):
        result = unlearn(model, forget, retain, method, lr=0.05, epochs=20)
        assert loss(result, forget) > 2 * loss(model, forget)
        assert loss(result, retain) < 0.7 * loss(result, forget)
    options = {"lr": 0.01, "epochs": 2, "weight_decay": 0.0}
    ft = unlearn(model, forget, retain, "ft", **options)
    assert loss(ft, retain) < loss(model, retain)
    sparse = unlearn(model, forget, retain, "l1_sparse", gamma=0.05, **options)
    norms = [sum(float(p.detach().abs().sum()) for p in m.parameters()) for m in (ft, sparse)]
    assert norms[1] < 0.95 * norms[0]
    same = unlearn(model, forget, retain, "l1_sparse", gamma=0.0, **options)
    assert all(
        torch.equal(a, b) for a, b in zip(bits(ft).values(), bits(same).values(), strict=True)
    )


def test_the_same_seed_gives_the_same_weights_and_a_dataset_those_of_its_tensors() -> None:
    model, forget, retain = trained()
    datasets = [TensorDataset(*pair) for pair in (forget, retain)]
    one, again, other, read = (
        bits(unlearn(model, *sets, epochs=1, seed=seed))
        for sets, seed in (
            ((forget, retain), 1),
            ((forget, retain), 1),
            ((forget, retain), 2),
            (datasets, 1),
        )
    )
    assert all(
        torch.equal(one[name], again[name]) and torch.equal(one[name], read[name]) for name in one
    )
    assert not torch.equal(one["5.weight"], other["5.weight"])


def test_batches_hold_each_example_once_with_the_set_it_is_from() -> None:
    first = Examples(torch.arange(5.0)[:, None], torch.arange(5))
    second = Examples(torch.arange(10.0, 18.0)[:, None], torch.arange(10, 18))
    seen = []
    for images, labels, source in shuffled([first, second], 4, torch.Generator().manual_seed(0)):
        assert torch.equal(images[:, 0].long(), labels)
        assert torch.equal(source, (labels >= 10).long())
        seen += labels.tolist()
    assert sorted(seen) == [*range(5), *range(10, 18)]
    assert seen != sorted(seen)


def test_crops_and_flips_are_shifts_and_mirrors() -> None:
    """Each image has one lit pixel; it stays lit or leaves, and moves by at most four."""
    images = torch.zeros(64, 2, 12, 12)
    images[:, :, 6, 5] = 1
    moved = crop_and_flip(images, torch.Generator().manual_seed(0))
    places = moved.nonzero()
    assert moved.shape == images.shape and len(places) == 128
    assert (places[:, 2] - 6).abs().max() == 4
    columns = places[:, 3]
    assert (((columns - 5).abs() <= 4) | ((columns - 6).abs() <= 4)).all()
    assert torch.equal(moved[:, 0], moved[:, 1]) and len(places[:, 2:].unique(dim=0)) > 20


@pytest.mark.parametrize(
    ("name", "channels", "weights"),
    [("resnet18", 3, 11_173_962), ("resnet20", 1, 272_186), ("small", 1, 19_706)],
)
def test_models_have_their_published_sizes(name: str, channels: int, weights: int) -> None:
    """ResNet-18 for CIFAR has 11,173,962 weights; ResNet-20 0.27 million."""
    model = build_model(name, channels, 10)  # pyright: ignore[reportArgumentType]
    count = sum(p.numel() for p in model.parameters())
    assert count == weights
    assert model(torch.zeros(2, channels, 28, 28)).shape == (2, 10)
    images = Examples(torch.randn(3, channels, 8, 8), torch.arange(3))
    assert torch.allclose(probabilities(model, images).sum(1), torch.ones(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "salum"}, "method 'salum': unknown; one of retrain, ft"),
        ({"density": 0.0}, "density must be above 0 and at most 1"),
        ({"density": 1e-9}, "selects none of the weights"),
        ({"method": "retrain", "density": 0.5}, "retrain has no mask"),
        ({"forget_set": (torch.zeros(2, 1, 8, 8), torch.zeros(3))}, "2 images, but 3 labels"),
        ({"retain_set": (torch.zeros(0, 1, 8, 8), torch.zeros(0))}, "retain_set is empty"),
        ({"forget_set": (torch.zeros(2, 1, 8, 8), torch.tensor([3, 10]))}, "labels from 3 to 10"),
        ({"retain_set": (torch.zeros(2, 1, 8, 8), torch.tensor([-1, -1]))}, "labels from -1 to"),
        ({"model": nn.Conv2d(1, 10, 3)}, "not \\[batch, classes\\]"),
    ],
)
def test_bad_input_is_refused(change: dict[str, object], message: str) -> None:
    model, forget, retain = trained()
    words = {"model": model, "forget_set": forget, "retain_set": retain, "epochs": 1} | change
    before = bits(model)
    with pytest.raises(UsageError, match=message) as caught:
        unlearn(**words)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in bits(model).items())
