import dataclasses
import os

import numpy as np
import pytest

from hashnet_jax import ModelSpec
from hashnet_jax.data import tfds_source
from hashnet_jax.data.augment import AUGMENTATIONS
from hashnet_jax.data.datasets import DATASETS, Dataset, Options
from hashnet_jax.data.pipeline import image_batches, training_batches
from hashnet_jax.data.protocols import Split, per_class_split
from hashnet_jax.data.sources import ArraySource, PooledSource, decode, squash

SPEC = ModelSpec("small_cnn", bits=12, image_size=8, resize=8)


def tiny_dataset(n=40):
    """Images whose every pixel is their index."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 8, 8, 1))
    labels = np.arange(n) % 4
    split = per_class_split(labels, queries=1, train=6)
    return Dataset("tiny", ArraySource(images), labels, ("a", "b", "c", "d"), split)


def batches(dataset, *, start=0, stop=12, seed=0, **kwargs):
    return list(
        training_batches(
            dataset,
            SPEC,
            augmentation="shift_flip",
            batch_size=10,
            start=start,
            stop=stop,
            seed=seed,
            **kwargs,
        )
    )


def assert_same_batches(a, b):
    assert len(a) == len(b)
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left["image"], right["image"])
        np.testing.assert_array_equal(left["label"], right["label"])


def test_batches_from_the_middle_are_those_of_a_stream_from_the_start():
    dataset = tiny_dataset()
    assert_same_batches(batches(dataset, start=5), batches(dataset)[5:])


@pytest.mark.parametrize("kwargs", [{"threads": 1}, {"threads": 8}, {"workers": 2}])
def test_batches_do_not_depend_on_threads_or_worker_processes(kwargs):
    dataset = tiny_dataset()
    assert_same_batches(batches(dataset, **kwargs), batches(dataset))


@pytest.mark.parametrize("rows", [slice(0, 4), slice(4, 10)])
def test_the_rows_of_one_process_are_rows_of_the_whole_batch(rows):
    dataset = tiny_dataset()
    whole = [{name: part[rows] for name, part in batch.items()} for batch in batches(dataset)]
    assert_same_batches(batches(dataset, rows=rows), whole)


def test_no_image_comes_twice_in_an_epoch_and_every_epoch_has_another_order():
    dataset = tiny_dataset()
    stream = batches(dataset, stop=20)  # ten epochs of two batches of ten, of 24 training images
    seen = np.stack([batch["image"].max(axis=(1, 2, 3)) for batch in stream])
    epochs = seen.reshape(10, 20)
    assert all(len(np.unique(epoch)) == 20 for epoch in epochs)
    assert len(np.unique(epochs, axis=0)) == 10
    np.testing.assert_array_equal(np.unique(seen), dataset.split.train)
    labels = np.stack([batch["label"] for batch in stream])
    np.testing.assert_array_equal(labels, dataset.labels[seen])


def test_another_seed_gives_another_order():
    dataset = tiny_dataset()
    a, b = batches(dataset, stop=1, seed=0), batches(dataset, stop=1, seed=1)
    assert (a[0]["image"] != b[0]["image"]).any()


def test_images_in_order_keep_their_order_and_the_last_batch_may_be_smaller():
    dataset = tiny_dataset()
    indices = np.array([7, 3, 9, 1, 5])
    read = list(image_batches(dataset.source, indices, 8, batch_size=2))
    assert [len(images) for images in read] == [2, 2, 1]
    assert np.concatenate(read)[:, 0, 0, 0].tolist() == indices.tolist()


@pytest.mark.parametrize("batch_size", [1, 25])
def test_a_batch_size_that_cannot_work_says_why(batch_size):
    with pytest.raises(ValueError, match=r"must be in 2\.\.24"):
        training_batches(
            tiny_dataset(),
            SPEC,
            augmentation="shift",
            batch_size=batch_size,
            start=0,
            stop=1,
            seed=0,
        )


def test_digits_are_split_as_their_preset_says_and_alike_for_the_same_seed():
    options = Options(queries_per_class=20, train_per_class=100, train_in_database=False)
    dataset, again = DATASETS["digits"](options), DATASETS["digits"](options)
    assert dataset.split.sizes() == {
        "train": 1000,
        "query": 200,
        "database": 597,
        "validation": 0,
    }
    np.testing.assert_array_equal(dataset.split.query, again.split.query)
    assert dataset.source[0].shape == (8, 8, 3)
    assert max(dataset.source[i].max() for i in range(20)) == 255


@pytest.mark.parametrize("train_in_database", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_no_image_is_both_query_and_database_or_query_and_training_image(train_in_database, seed):
    labels = np.random.default_rng(seed).integers(0, 5, 300)
    split = per_class_split(
        labels,
        queries=4,
        train=10,
        validation=3,
        train_in_database=train_in_database,
        seed=seed,
    )
    assert not np.intersect1d(split.query, split.database).size
    assert not np.intersect1d(split.query, split.train).size
    assert not np.intersect1d(split.validation, split.train).size
    assert np.isin(split.validation, split.database).all()
    assert np.isin(split.train, split.database).all() == train_in_database
    assert (np.bincount(labels[split.query]) == 4).all()
    assert (np.bincount(labels[split.train]) == 10).all()
    union = np.union1d(np.union1d(split.query, split.database), split.train)
    np.testing.assert_array_equal(union, np.arange(300))


def test_pools_keep_queries_and_database_apart():
    labels = np.tile([0, 1], 20)
    pools = np.arange(30), np.arange(30, 40)
    split = per_class_split(labels, queries=None, train=5, pools=pools)
    np.testing.assert_array_equal(split.query, pools[1])
    np.testing.assert_array_equal(split.database, pools[0])


def test_a_split_that_leaks_or_is_empty_is_refused():
    with pytest.raises(ValueError, match="both query and train, got 1"):
        Split(train=[1], query=[1], database=[2])
    with pytest.raises(ValueError, match="query must hold at least one"):
        Split(train=[1], query=[], database=[2])
    with pytest.raises(ValueError, match="class 1 must have more than 3 images"):
        per_class_split([0, 0, 0, 0, 1, 1], queries=3, train=1)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (30, 17), (1, 1)])
def test_augmented_images_are_uint8_of_the_size_that_the_backbone_sees(name, height, width):
    rng = np.random.default_rng(0)
    spec = ModelSpec("small_cnn", image_size=8, resize=10)
    image = squash(rng.integers(0, 256, (height, width, 3)).astype(np.uint8), 10)
    augmented = AUGMENTATIONS[name]([image] * 8, spec, rng)
    assert augmented.shape == (8, 8, 8, 3)
    assert augmented.dtype == np.uint8
    assert height == 1 or len({a.tobytes() for a in augmented}) > 1


def test_a_flip_mirrors_half_of_the_images_left_to_right():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :2] = 255
    rng = np.random.default_rng(0)
    flipped = AUGMENTATIONS["resized_crop_flip"]([image] * 200, SPEC, rng)[:, 4]
    left_is_bright = sum(int(row[:4].sum()) > int(row[4:].sum()) for row in flipped)
    right_is_bright = sum(int(row[4:].sum()) > int(row[:4].sum()) for row in flipped)
    assert 50 < left_is_bright < 150
    assert 50 < right_is_bright < 150


def test_a_shift_moves_each_image_by_its_own_up_to_an_eighth_and_fills_with_black():
    images = np.arange(1, 1 + 200 * 100, dtype=np.int64).reshape(200, 10, 10, 1) % 255 + 1
    images = np.repeat(images.astype(np.uint8), 3, axis=-1)
    spec = ModelSpec("small_cnn", image_size=8, resize=10)
    shifted = AUGMENTATIONS["shift"](images, spec, np.random.default_rng(0))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    moves = set()
    for image, whole in zip(shifted, padded, strict=True):
        corners = [
            (top, left)
            for top in range(1, 4)
            for left in range(1, 4)
            if (whole[top : top + 8, left : left + 8] == image).all()
        ]
        assert len(corners) == 1
        moves.update(corners)
    assert len(moves) == 9


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_images_held_squashed_and_images_read_one_by_one_give_the_same_batches(augmentation):
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 9, 3)).astype(np.uint8)

    class OneByOne(ArraySource):
        in_memory = False

    held, read = (
        training_batches(
            dataclasses.replace(tiny_dataset(), source=source(images)),
            ModelSpec("small_cnn", bits=12, image_size=8, resize=10),
            augmentation=augmentation,
            batch_size=10,
            start=0,
            stop=5,
            seed=0,
        )
        for source in (ArraySource, OneByOne)
    )
    assert_same_batches(list(held), list(read))


def test_grey_pictures_are_read_as_three_equal_channels():
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(buffer, "PNG")
    image = decode(buffer.getvalue())
    assert image.shape == (3, 4, 3)
    assert (image[..., 0] == image[..., 2]).all()
    assert squash(image, 5).shape == (5, 5, 3)


def test_a_pool_reads_across_its_sources():
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (n, 2, 2, 3)).astype(np.uint8) for n in (3, 1, 4)]
    pool = PooledSource([ArraySource(part) for part in parts])
    whole = np.concatenate(parts)
    assert len(pool) == 8
    for i in range(8):
        np.testing.assert_array_equal(pool[i], whole[i])


def test_without_prepared_data_and_archives_the_error_says_what_to_get_and_where_to_put_it(
    tmp_path,
):
    with pytest.raises(FileNotFoundError) as error:
        tfds_source.open_builder("imagenet2012", data_dir=tmp_path)
    message = str(error.value)
    for needed in (
        "ILSVRC2012_img_train.tar",
        "ILSVRC2012_img_val.tar",
        "image-net.org",
        str(tmp_path / "downloads" / "manual"),
        "--dataset digits",
    ):
        assert needed in message


def test_preparing_without_tensorflow_gives_the_one_pip_command(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[prepare\]'"):
        tfds_source.open_builder("cifar10", data_dir=tmp_path)


def test_labels_of_a_large_data_set_are_read_once_and_then_from_the_cache(tmp_path, monkeypatch):
    class Train:
        num_bytes, shard_lengths = 10, [5]

    class Info:
        full_name, name, splits = "tiny/1.0.0", "tiny", {"train": Train()}

    class Builder:
        info, data_dir = Info(), str(tmp_path)

    class Source:
        reads = 0

        def __len__(self):
            return 5

        def records(self, start, stop):
            Source.reads += 1
            return [{"label": i * i} for i in range(start, stop)]

    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    read = tfds_source.class_ids(None)
    for _ in range(2):
        labels = tfds_source._cached_labels(Builder, "train", Source(), "class_ids", read)
        assert labels.tolist() == [0, 1, 4, 9, 16]
    assert Source.reads == 1
