"""Tests that training batches depend only on (seed, t), and that others are in order."""

import dataclasses

import numpy as np
import pytest

from hashnet_jax import ModelSpec
from hashnet_jax.data import ArraySource, Dataset, per_class_split
from hashnet_jax.data.augmentation import AUGMENTATIONS
from hashnet_jax.data.pipeline import image_batches, training_batches

SPEC = ModelSpec("small_cnn", bits=12, image_size=8, resize=8)


def tiny_dataset(n=40):
    """Returns a data set in which each image's pixels all equal its index."""
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


def test_batches_from_the_middle_match_a_stream_from_the_start():
    dataset = tiny_dataset()
    assert_same_batches(batches(dataset, start=5), batches(dataset)[5:])


@pytest.mark.slow
@pytest.mark.parametrize("kwargs", [{"threads": 1}, {"threads": 8}, {"workers": 2}])
def test_batches_do_not_depend_on_threads_or_worker_processes(kwargs):
    dataset = tiny_dataset()
    assert_same_batches(batches(dataset, **kwargs), batches(dataset))


@pytest.mark.parametrize("rows", [slice(0, 4), slice(4, 10)])
def test_the_rows_of_one_process_are_rows_of_the_whole_batch(rows):
    dataset = tiny_dataset()
    whole = [{name: part[rows] for name, part in batch.items()} for batch in batches(dataset)]
    assert_same_batches(batches(dataset, rows=rows), whole)


def test_an_epoch_repeats_no_image_and_every_epoch_has_a_different_order():
    dataset = tiny_dataset()
    stream = batches(dataset, stop=20)  # 10 epochs of 2 batches of 10, from 24 training images
    seen = np.stack([batch["image"].max(axis=(1, 2, 3)) for batch in stream])
    epochs = seen.reshape(10, 20)
    assert all(len(np.unique(epoch)) == 20 for epoch in epochs)
    assert len(np.unique(epochs, axis=0)) == 10
    np.testing.assert_array_equal(np.unique(seen), dataset.split.train)
    labels = np.stack([batch["label"] for batch in stream])
    np.testing.assert_array_equal(labels, dataset.labels[seen])


def test_a_different_seed_gives_a_different_order():
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
def test_a_batch_size_out_of_range_is_rejected_with_the_range(batch_size):
    with pytest.raises(ValueError, match=r"`batch_size` must be in 2\.\.24"):
        training_batches(
            tiny_dataset(),
            SPEC,
            augmentation="shift",
            batch_size=batch_size,
            start=0,
            stop=1,
            seed=0,
        )


def test_an_unknown_augmentation_is_rejected_with_a_list_of_the_known_ones():
    with pytest.raises(ValueError, match=r"must be one of resized_crop, .* got 'x'"):
        training_batches(
            tiny_dataset(), SPEC, augmentation="x", batch_size=10, start=0, stop=1, seed=0
        )


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_images_held_in_memory_and_images_read_one_by_one_give_the_same_batches(augmentation):
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
