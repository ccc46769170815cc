"""Tests that a step follows the gradient of the loss over all pairs on one or several devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hashnet_jax import HashNetParams, binarize
from hashnet_jax.codes import relax
from hashnet_jax.distributed.devices import local_devices, map_step
from hashnet_jax.losses import jaccard, pairwise_loss, similarity
from hashnet_jax.model import logits, training_logits
from hashnet_jax.training import (
    TrainSpec,
    beta_schedule,
    init_state,
    learning_rate_schedule,
    optimizer,
    train_step,
)
from tests.support.tiny import TINY

TRAIN = TrainSpec(total_steps=10, learning_rate=1e-3)


def batch(seed, n=32, *, multi_label=False):
    """Returns images and labels; sorting gives each device a different number of similar pairs."""
    rng = np.random.default_rng(seed)
    if multi_label:
        label = (rng.random((n, 6)) < np.linspace(0, 0.6, n)[:, None]).astype(np.int8)
    else:
        label = np.sort(rng.integers(0, 4, n) ** 2)
    return {"image": rng.integers(0, 256, (n, 8, 8, 3)).astype(np.uint8), "label": label}


def after_three_steps(n_devices, *, multi_label, spec=TINY, train=TRAIN):
    state = init_state(jax.random.key(0), spec, train)
    step = map_step(train_step, local_devices(n_devices))
    for seed in range(3):
        state, metrics = step(state, batch(seed, multi_label=multi_label))
    return state, metrics


@pytest.mark.slow
@pytest.mark.parametrize("multi_label", [False, True])
def test_jit_on_1_device_and_pmap_on_2_4_8_agree_after_three_updates(
    multi_label,
):
    train = dataclasses.replace(TRAIN, continuous_similarity=multi_label)
    one, metrics_of_one = after_three_steps(1, multi_label=multi_label, train=train)
    assert one.params.variables["batch_stats"]
    for n_devices in (2, 4, 8):
        several, metrics = after_three_steps(n_devices, multi_label=multi_label, train=train)
        differences = jax.tree.map(
            lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(),
            several.params.variables,
            one.params.variables,
        )
        assert max(jax.tree.leaves(differences)) < 1e-6
        for name, value in metrics_of_one.items():
            np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)


@pytest.mark.slow
def test_the_step_follows_the_gradient_of_the_loss_over_all_pairs_of_different_images():
    state = init_state(jax.random.key(0), TINY, dataclasses.replace(TRAIN, weight_decay=0.0))
    images = {"image": np.float32(np.random.default_rng(0).normal(size=(6, 8, 8, 3)))}
    images["label"] = np.array([0, 0, 1, 1, 1, 2])
    new, metrics = jax.jit(train_step)(state, images)

    off_diagonal = ~np.eye(6, dtype=bool)
    similar = np.asarray(similarity(images["label"], images["label"]))
    n_similar = (similar & off_diagonal).sum()
    n_dissimilar = (~similar & off_diagonal).sum()
    weights = np.where(similar, 30 / n_similar, 30 / n_dissimilar) * off_diagonal

    def loss(trained):
        params = HashNetParams({**state.params.variables, "params": trained}, TINY)
        key = jax.random.fold_in(state.key, 0)
        codes = relax(training_logits(params, images["image"], key=key)[0], 1.0)
        numerator, denominator = pairwise_loss(
            codes, codes, similar, alpha=10 / 12, weights=weights
        )
        return numerator / denominator

    trained = state.params.variables["params"]
    value, gradients = jax.jit(jax.value_and_grad(loss))(trained)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
    # Nesterov's first step is (1 + momentum) times the gradient. The hash layer's rate is 10x.
    for part, rate in (("backbone", 1e-3), ("hash", 1e-2)):
        expected = jax.tree.map(
            lambda p, g, r=rate: p - r * 1.9 * g, trained[part], gradients[part]
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6),
            new.params.variables["params"][part],
            expected,
        )


@pytest.mark.slow
def test_a_changing_beta_compiles_once():
    traces = []

    def counted(state, batch):
        traces.append(state.step)
        return train_step(state, batch)

    step = jax.jit(counted)
    train = TrainSpec(total_steps=4, learning_rate=1e-3)
    state = init_state(jax.random.key(0), TINY, train)
    betas = []
    for seed in range(4):
        betas.append(float(state.beta))
        assert state.beta == beta_schedule(train)(state.step)
        state, _ = step(state, batch(seed))
    assert len(set(betas)) == 4
    assert len(traces) == 1
    assert step._cache_size() == 1


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["sqrt", "stages", "constant"])
def test_beta_of_the_state_follows_the_schedule(schedule):
    train = TrainSpec(total_steps=6, learning_rate=1e-3, beta_schedule=schedule)
    state = init_state(jax.random.key(0), TINY, train)
    step = jax.jit(train_step)
    for seed in range(6):
        assert state.beta == np.float32(beta_schedule(train)(seed))
        state, metrics = step(state, batch(seed))
        assert metrics["beta"] == np.float32(beta_schedule(train)(seed))
    assert state.beta == np.float32(beta_schedule(train)(6))


@pytest.mark.slow
def test_batches_without_similar_or_dissimilar_pairs_keep_everything_finite():
    state = init_state(jax.random.key(0), TINY, TRAIN)
    for labels in (np.arange(8), np.zeros(8, int), np.zeros((8, 3), np.int8)):
        images = batch(0, n=8) | {"label": labels}
        new, metrics = jax.jit(train_step)(state, images)
        assert all(np.isfinite(value) for value in metrics.values())
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new.params))


@pytest.mark.slow
def test_the_optimizer_takes_the_same_steps_as_torch_sgd():
    torch = pytest.importorskip("torch")
    train = TrainSpec(total_steps=6, learning_rate=0.1, decays=3, weight_decay=0.01)
    start = {"backbone": np.array([1.0, -2.0], np.float32), "hash": np.array([0.5], np.float32)}
    tensors = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
    sgd = torch.optim.SGD(
        [
            {"params": [tensors["backbone"]], "lr": 0.1},
            {"params": [tensors["hash"]], "lr": 1.0},
        ],
        momentum=0.9,
        weight_decay=0.01,
        nesterov=True,
    )
    decay = torch.optim.lr_scheduler.StepLR(sgd, step_size=2, gamma=0.5)
    params, tx = jax.tree.map(jnp.asarray, start), optimizer(train)
    opt_state = tx.init(params)
    rng = np.random.default_rng(0)
    for _ in range(6):
        gradients = {
            name: rng.normal(size=value.shape).astype(np.float32) for name, value in start.items()
        }
        for name, gradient in gradients.items():
            tensors[name].grad = torch.tensor(gradient)
        sgd.step()
        decay.step()
        updates, opt_state = tx.update(jax.tree.map(jnp.asarray, gradients), opt_state, params)
        params = optax.apply_updates(params, updates)
    for name, value in params.items():
        np.testing.assert_allclose(value, tensors[name].detach().numpy(), rtol=1e-5)


def test_the_learning_rate_has_five_stages_and_halves_between_them():
    schedule = learning_rate_schedule(TrainSpec(total_steps=50, learning_rate=1.0))
    assert [float(schedule(step)) for step in (0, 9, 10, 20, 30, 40, 49)] == [
        1, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16,
    ]  # fmt: skip


@pytest.mark.slow
def test_the_binary_loss_is_the_loss_of_sgn_codes():
    state = init_state(jax.random.key(0), TINY, dataclasses.replace(TRAIN, balance="none"))
    images = batch(3, n=8, multi_label=True)
    images["image"] = np.float32(images["image"]) / 255
    _, metrics = jax.jit(train_step)(state, images)
    key = jax.random.fold_in(state.key, 0)
    z, _ = jax.jit(training_logits)(state.params, images["image"], key=key)
    codes = binarize(z)
    codes = codes.astype(jnp.float32)
    numerator, denominator = pairwise_loss(
        codes,
        codes,
        similarity(images["label"], images["label"]),
        alpha=10 / 12,
        weights=1.0 - np.eye(8),
    )
    np.testing.assert_allclose(metrics["binary_loss"], numerator / denominator, rtol=1e-5)


@pytest.mark.slow
def test_hashnet_plus_c_differs_from_hashnet_only_on_multi_label_images():
    plain = init_state(jax.random.key(0), TINY, TRAIN)
    continuous = init_state(
        jax.random.key(0), TINY, dataclasses.replace(TRAIN, continuous_similarity=True)
    )
    for multi_label in (False, True):
        images = batch(5, multi_label=multi_label)
        _, a = jax.jit(train_step)(plain, images)
        _, b = jax.jit(train_step)(continuous, images)
        assert (float(a["gradient_norm"]) == float(b["gradient_norm"])) != multi_label
    partial = jaccard(images["label"], images["label"])
    assert ((partial > 0) & (partial < 1)).any()


@pytest.mark.slow
def test_in_inference_mode_the_weights_learn_but_the_running_statistics_are_unchanged():
    train = dataclasses.replace(TRAIN, balance="none", backbone_mode="inference")
    state = init_state(jax.random.key(0), TINY, train)
    images = batch(3)
    images["image"] = np.float32(images["image"]) / 255
    new, metrics = jax.jit(train_step)(state, images)
    codes = binarize(logits(state.params, images["image"])).astype(jnp.float32)
    numerator, denominator = pairwise_loss(
        codes,
        codes,
        similarity(images["label"], images["label"]),
        alpha=10 / 12,
        weights=1.0 - np.eye(len(codes)),
    )
    np.testing.assert_allclose(metrics["binary_loss"], numerator / denominator, rtol=1e-5)
    before, after = state.params.variables, new.params.variables
    jax.tree.map(np.testing.assert_array_equal, before["batch_stats"], after["batch_stats"])
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()), before["params"]["backbone"], after["params"]["backbone"]
    )
    assert jax.tree.all(moved)


def test_a_batch_that_does_not_split_over_the_devices_is_rejected():
    step = map_step(train_step, local_devices(4))
    with pytest.raises(ValueError, match=r"multiple of the number of devices \(4\), got 6"):
        step(init_state(jax.random.key(0), TINY, TRAIN), batch(0, n=6))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"total_steps": 0}, "`total_steps` must be an integer >= 1, got 0"),
        ({"total_steps": 2.5}, "`total_steps` must be an integer >= 1, got 2.5"),
        ({"learning_rate": 0.0}, "`learning_rate` must be > 0 and finite, or None"),
        ({"learning_rate": np.nan}, "or None if it has not been found yet, got nan"),
        ({"hash_multiplier": np.inf}, "`hash_multiplier` must be > 0 and finite, got inf"),
        ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\)"),
        ({"momentum": np.nan}, r"`momentum` must be in \[0, 1\), got nan"),
        ({"weight_decay": np.inf}, "`weight_decay` must be >= 0 and finite, got inf"),
        ({"decay_rate": np.nan}, r"`decay_rate` must be in \(0, 1\], got nan"),
        ({"decays": 0}, "`decays` must be an integer >= 1, got 0"),
        ({"alpha": -1.0}, "`alpha` must be > 0 and finite, or None"),
        ({"alpha": np.inf}, "`alpha` must be > 0 and finite, or None to use 10/K, got inf"),
        ({"balance": 0}, "`balance` must be 'batch', 'none' or a finite number > 0, got 0"),
        ({"balance": -1.0}, "or a finite number > 0, got -1.0"),
        ({"balance": np.nan}, "or a finite number > 0, got nan"),
        ({"balance": "median"}, "or a finite number > 0, got 'median'"),
        ({"continuous_similarity": 1}, "`continuous_similarity` must be True or False, got 1"),
        ({"beta_schedule": "linear"}, "one of sqrt, stages, constant"),
        ({"backbone_mode": "eval"}, "one of train, inference"),
    ],
)
def test_an_invalid_train_spec_is_rejected_with_the_requirement(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainSpec(**fields)
