"""Tests for `experiments/compare.py`: trainer, choice of rates, results and interruptions."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import compare
from experiments.baselines import RIVALS
from experiments.comparison import _methods, _rates, _runs
from experiments.comparison._methods import hashnet, method
from experiments.comparison._runs import Run, load_or_run, result_path
from experiments.comparison._study import Study
from experiments.comparison._train import train
from hashnet_jax.data import ArraySource, Dataset, Split
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.model import HashNetParams, ModelSpec
from hashnet_jax.training import (
    CachedFeatures,
    HashLayer,
    TrainSpec,
    TrainState,
    beta_schedule,
    feature_batches,
    initial_layer,
    optimizer,
    rate_unit,
    train_step,
)

N, D, BITS = 120, 10, 12
SPEC = TrainSpec(total_steps=30, weight_decay=5e-3, backbone_mode="inference")


def made_study(*, several=False, spec=SPEC):
    """Three classes that lie in different directions, 24 queries, and no validation images."""
    rng = np.random.default_rng(0)
    ids = np.arange(N) % 3
    labels = np.eye(3, dtype=int)[ids]
    if several:
        labels[::5, 0] = 1
    centres = rng.normal(size=(3, D))
    array = (labels @ centres + 0.4 * rng.normal(size=(N, D)) + 1).astype(np.float32)
    everything = np.arange(N)
    split = Split(train=everything[24:], query=everything[:24], database=everything[24:])
    source = ArraySource(np.zeros((N, 2, 2, 3), np.uint8))
    dataset = Dataset("made", source, labels if several else ids, ("a", "b", "c"), split)
    features = CachedFeatures(array, everything)
    return Study(dataset, features, "made", spec, batch_size=16, cutoff=None, content="made")


@pytest.fixture(scope="module")
def study():
    return made_study()


def train_in(study, name, seed=0, rate=8.0):
    """Trains a method on the training images of a study, and returns the layer."""
    parts, chosen = study.final_parts(), method(name, study.spec, BITS)
    features = study.features.take(parts.train)
    return train(
        chosen.rival,
        features,
        study.multi_hot(parts.train),
        bits=BITS,
        spec=chosen.spec,
        rate=rate * rate_unit(features, standardize=chosen.standardize),
        batch_size=study.batch_size,
        seed=seed,
        standardize=chosen.standardize,
    )


@pytest.mark.slow
def test_hashnet_ends_where_a_run_on_cached_features_ends(study):
    spec = dataclasses.replace(SPEC, learning_rate=0.01, hash_multiplier=10.0)
    layer = initial_layer(np.zeros((1, D), np.float32), np.zeros(1), BITS, spec=spec, seed=3)
    model_spec = ModelSpec("small_cnn", bits=BITS, image_size=8, resize=8)
    trained = {"hash": layer._asdict()}
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        beta=jnp.ones(()),
        params=HashNetParams({"batch_stats": {}, "params": trained}, model_spec),
        opt_state=optimizer(spec).init(trained),
        key=jax.random.key(0),
        spec=spec,
    )
    step = jax.jit(train_step)
    for batch in feature_batches(
        study.features, study.dataset, 0, batch_size=16, stop=spec.total_steps, seed=3
    ):
        state, _ = step(state, batch)
    expected = state.params.variables["params"]["hash"]

    parts = study.final_parts()
    got = train(
        hashnet(spec),
        study.features.take(parts.train),
        study.multi_hot(parts.train),
        bits=BITS,
        spec=spec,
        rate=0.1,
        batch_size=16,
        seed=3,
    )
    assert np.abs(expected["kernel"] - layer.kernel).max() > 0.05, "trained"
    np.testing.assert_allclose(got.kernel, expected["kernel"], atol=1e-4)
    np.testing.assert_allclose(got.bias, expected["bias"], atol=1e-4)
    assert float(beta_schedule(spec)(29)) > 6, "continuation"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["csq", "orthohash", "greedyhash"])
def test_training_improves_the_codes(study, name):
    parts = study.final_parts()
    classes = study.dataset.labels

    def mean_map(layer):
        query, database = (layer.logits(study.features.take(part)) for part in parts[1:])
        return _runs.evaluate(
            _runs.packed(query),
            _runs.packed(database),
            classes[parts.query],
            classes[parts.database],
            bits=BITS,
        ).mean_average_precision.expected

    start = initial_layer(study.features.array, classes, BITS, spec=SPEC, seed=0)
    before = HashLayer(*map(np.asarray, start))
    assert mean_map(before) < 0.8 < 0.95 < mean_map(train_in(study, name))


def test_batch_normalization_is_folded_into_the_layer(study):
    features = study.features.take(study.dataset.split.train)
    logits = train_in(study, "orthohash").logits(features)
    np.testing.assert_allclose(logits.mean(axis=0), np.zeros(BITS), atol=1e-5)
    np.testing.assert_allclose(logits.std(axis=0), np.ones(BITS), atol=1e-3)


def test_standardizing_makes_the_result_independent_of_the_scale_of_each_feature(study):
    rng = np.random.default_rng(1)
    scale, shift = rng.uniform(0.1, 10, D), rng.normal(size=D)
    scaled = CachedFeatures(
        (study.features.array * scale + shift).astype(np.float32), study.features.indices
    )
    other = dataclasses.replace(study, features=scaled)
    layers = [train_in(each, "csq-standardized") for each in (study, other)]
    plain, of_scaled = (
        layer.logits(each.features.array)
        for layer, each in zip(layers, (study, other), strict=True)
    )
    np.testing.assert_allclose(of_scaled, plain, atol=1e-3)


def test_rates_are_relative_to_the_scale_of_the_features():
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert rate_unit(3 * features) == pytest.approx(rate_unit(features) / 9)
    assert (
        rate_unit(3 * features, standardize=True) == rate_unit(features, standardize=True) == 0.25
    )


def test_every_learned_method_has_five_rates():
    assert all(
        len(_methods.rates_of(name)) == 5 for name in _methods.names() if _methods.is_learned(name)
    )


def test_rates_are_chosen_on_images_that_are_no_queries(study):
    parts, split = study.validation_parts(0), study.dataset.split
    assert not np.isin(np.concatenate(parts), split.query).any()
    assert not np.isin(parts.query, parts.database).any()
    np.testing.assert_array_equal(parts.train, parts.database)
    np.testing.assert_array_equal(np.bincount(study.dataset.labels[parts.query]), [8, 8, 8])
    own = Split(split.train[10:], split.query, split.database, validation=split.train[:10])
    given = dataclasses.replace(study, dataset=dataclasses.replace(study.dataset, split=own))
    np.testing.assert_array_equal(given.validation_parts(0).query, split.train[:10])


def test_the_rate_with_the_highest_mean_validation_map_is_chosen(study):
    maps = dict(zip(_methods.rates_of("csq"), (0.1, 0.3, 0.5, 0.4, 0.2), strict=True))
    seen = []

    def result(run):
        seen.append(run)
        return _runs.Result(hamming=maps[run.rate] + 0.3 * (run.seed - 101))

    choices = _rates.choose(study, ["csq", "itq", "cosine"], BITS, result)
    assert choices.keys() == {"csq"}
    assert choices["csq"].rate == 128
    assert not choices["csq"].is_at_edge
    assert choices["csq"].maps == pytest.approx((0.1, 0.3, 0.5, 0.4, 0.2))
    assert len(seen) == _rates.count_runs(study, ["csq", "itq", "cosine"]) == 15
    assert all(run.validation for run in seen)
    assert not {run.seed for run in seen} & {0, 1, 2}


@pytest.mark.parametrize(
    ("best", "chosen", "tried"), [(2**25, 2**21, 10), (2**13, 2**13, 7), (0.5, 0.5, 8), (32, 32, 5)]
)
def test_a_grid_is_extended_while_the_best_rate_is_at_its_edge(study, best, chosen, tried):
    added = []

    def result(run):
        return _runs.Result(hamming=-abs(np.log(run.rate / best)))

    choice = _rates.choose(study, ["csq"], BITS, result, extended=added.append)["csq"]
    assert (choice.rate, len(choice.rates)) == (chosen, tried)
    assert list(choice.rates) == sorted(choice.rates)
    assert sum(added) == 3 * (tried - 5)


def test_a_tie_at_the_other_edge_does_not_stop_the_extension(study):
    maps = {8: 0.1, 32: 0.1, 128: 0.2, 512: 0.3, 2048: 0.4, 8192: 0.5, 32768: 0.2}
    choice = _rates.choose(study, ["csq"], BITS, lambda run: _runs.Result(hamming=maps[run.rate]))[
        "csq"
    ]
    assert (choice.rate, len(choice.rates)) == (8192, 7)


def test_equal_maps_at_the_edge_end_the_extension(study):
    choice = _rates.choose(study, ["csq"], BITS, lambda run: _runs.Result(hamming=1.0))["csq"]
    assert (choice.rate, len(choice.rates)) == (8, 5)


@pytest.mark.parametrize("standardize", [False, True])
def test_features_that_tell_no_images_apart_are_refused(standardize):
    with pytest.raises(ValueError, match="a hash layer cannot learn from them"):
        rate_unit(np.zeros((4, 3), np.float32), standardize=standardize)


def test_a_result_is_kept_and_bound_to_data_and_settings(study, tmp_path, monkeypatch):
    run = Run("pca", 6, 0)
    result = load_or_run(study, run, tmp_path)
    assert 0.5 < result.hamming < result.asymmetric <= 1
    others = [
        dataclasses.replace(study, content="other features"),
        dataclasses.replace(study, cutoff=5),
    ]
    assert all(not result_path(other, run, tmp_path).exists() for other in others)
    learned = Run("csq", 6, 0, 8.0)
    longer = dataclasses.replace(study, spec=dataclasses.replace(SPEC, total_steps=31))
    larger = dataclasses.replace(study, batch_size=17)
    paths = {result_path(each, learned, tmp_path) for each in (study, longer, larger, *others)}
    assert len(paths) == 5

    monkeypatch.setattr(_runs, "execute", lambda *_: pytest.fail("the result was kept"))
    assert load_or_run(study, run, tmp_path)[:2] == result[:2]
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace('"hamming": 0', '"hamming": 1'))
    with pytest.raises(DamagedFile, match=f"{path.name}.*SHA-256.*Delete it"):
        load_or_run(study, run, tmp_path)


def test_a_run_that_diverged_counts_as_0(study):
    result = _runs.execute(study, Run("dpsh", 6, 0, 1e30))
    assert result[:2] == (0, 0)


def test_images_with_several_classes_are_compared_without_greedyhash():
    study = made_study(several=True, spec=dataclasses.replace(SPEC, total_steps=2))
    assert not study.one_class
    names = _methods.default_names(one_class=False, unseen=False)
    assert {"hashnet", *RIVALS} - set(names) == {"greedyhash"}
    assert 0 < _runs.execute(study, Run("csq", 6, 0, 8.0)).asymmetric <= 1
    with pytest.raises(ValueError, match=r"greedyhash is defined only for .*--methods"):
        _methods.check_names(["hashnet", "greedyhash"], one_class=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of three classes of 20 pictures, which differ in colour."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for c, name in enumerate(("red", "green", "blue")):
        (root / name).mkdir()
        for i in range(20):
            pixels = rng.integers(0, 160, (16, 16, 3), dtype=np.uint8)
            pixels[..., c] = 250
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.mark.slow
def test_the_table_and_figure_of_a_folder_contain_every_method(pictures, tmp_path, capsys):
    args = ["--dataset", "folder", "--methods", "hashnet", "orthohash", "pca", "cosine"]
    args += ["--bits", "8", "--seeds", "0", "1", "--steps", "4", "--batch-size", "8"]
    args += ["--out", str(tmp_path), "--", "--image-root", str(pictures), "--cutoff", "10"]
    assert compare.main(args) == 0
    content = json.loads((tmp_path / "table.json").read_text())
    assert [(row["method"], row["bits"], len(row["hamming"])) for row in content["results"]] == [
        ("hashnet", 8, 2),
        ("orthohash", 8, 2),
        ("pca", 8, 2),
        ("cosine", 8, 1),
    ]
    assert all(0 < score <= 1 for row in content["results"] for score in row["asymmetric"])
    assert content["tuning"]["bits"] == 8
    assert content["tuning"]["methods"].keys() == {"hashnet", "orthohash"}
    table = (tmp_path / "table.md").read_text()
    assert "MAP@10" in table
    assert "- orthohash: 5 settings tried: 0.125 (" in table
    assert "no query was used" in table
    assert table in capsys.readouterr().out
    with Image.open(tmp_path / "map.png") as figure:
        assert figure.width == 1400

    # Simulate that the study was killed before one run finished.
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()}
    assert len(kept) == 2 * 5 * 3 + 3 * 2 + 1
    removed = next(path for path in kept if path.name.startswith("orthohash-8bits-seed1"))
    removed.unlink()
    assert compare.main(args) == 0
    assert (tmp_path / "table.md").read_text() == table
    changed = [path for path, before in kept.items() if path.stat().st_mtime_ns != before]
    assert changed == [removed]


@pytest.mark.slow
def test_the_command_that_answers_whether_training_helps_runs(pictures, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "pretrained.md").read_text()
    section = page.partition("## Why not the sign of DINOv2's features?")[2].partition("## ")[0]
    (block,) = re.findall(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    words = shlex.split(block.replace("\\\n", ""))[2:]
    # The default backbone of a folder, which is small and has no weights to download.
    own, options = words[: words.index("--")], words[words.index("--") :]
    del options[options.index("--backbone") :]
    own[own.index("--bits") + 1] = "8"
    options[options.index("--image-root") + 1] = str(pictures)
    own += ["--seeds", "0", "--steps", "4", "--batch-size", "8", "--out", str(tmp_path)]
    assert compare.main([*own, *options]) == 0
    rows = json.loads((tmp_path / "table.json").read_text())["results"]
    named = re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)
    assert [row["method"] for row in rows] == named


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--batch-size", "1000"], "--batch-size must be in 2..42"),
        (["--bits", "8", "--methods", "features", "--", "--cutoff", "0"], "--cutoff must be >= 1"),
    ],
)
def test_errors_name_the_option(pictures, tmp_path, capsys, args, message):
    command = ["--dataset", "folder", "--out", str(tmp_path), "--methods", "hashnet", *args]
    command += [] if "--" in command else ["--"]
    assert compare.main([*command, "--image-root", str(pictures)]) == 1
    assert f"compare.py: error: {message}" in capsys.readouterr().err


@pytest.mark.slow
def test_unseen_classes_are_compared_in_the_same_figure(tmp_path, capsys):
    args = ["--dataset", "digits", "--methods", "hashnet-improved", "hashnet-unseen", "pca"]
    args += ["--bits", "8", "--seeds", "0", "--steps", "4", "--batch-size", "32"]
    assert compare.main([*args, "--unseen-classes", "3", "--out", str(tmp_path)]) == 0
    tables = [json.loads((tmp_path / part / "table.json").read_text()) for part in ("", "unseen")]
    assert [len(table["results"]) for table in tables] == [3, 3]
    assert tables[0]["content"] != tables[1]["content"]
    assert "held out separately for each seed" in (tmp_path / "unseen/table.md").read_text()
    assert ", unseen classes" in (tmp_path / "map.svg").read_text()


def test_the_recipe_for_unseen_classes_is_compared_only_on_them():
    seen, unseen = (_methods.default_names(one_class=True, unseen=u) for u in (False, True))
    assert set(unseen) - set(seen) == {"hashnet-unseen"}


@pytest.mark.slow
def test_a_wrong_number_of_unseen_classes_is_refused_before_anything_is_compared(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(compare, "compare", lambda *args, **_: pytest.fail("compared"))
    args = ["--dataset", "digits", "--bits", "8", "--unseen-classes", "1", "--out", str(tmp_path)]
    assert compare.main(args) == 1
    assert "--unseen-classes must leave at least 2 classes" in capsys.readouterr().err
