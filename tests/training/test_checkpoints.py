"""Tests that a damaged checkpoint is never restored, and gives way to one that is whole."""

import dataclasses
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.distributed.seals import sealed
from hashnet_jax.training import Checkpoints, TrainSpec, init_state
from hashnet_jax.training._checkpoint_arrays import arrays_sha256
from hashnet_jax.training._kept_checkpoints import KeptCheckpoints
from tests.support.tiny import TINY

# If several arrays are damaged, tensorstore still reports the other ones after orbax has given up.
pytestmark = pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")

KINDS = ("removed", "emptied", "truncated", "without record", "with a pipe", "a file")
MAPS = {4: 0.2, 8: 0.9, 12: 0.3}


@pytest.fixture(scope="module")
def initial():
    return init_state(jax.random.key(0), TINY, TrainSpec(total_steps=12))


def state_at(initial, step):
    """A state whose parameters differ from those at every other step."""
    params = jax.tree.map(lambda leaf: leaf + step, initial.params)
    return dataclasses.replace(initial, step=jnp.int32(step), params=params)


@pytest.fixture(scope="module")
def saved(initial, tmp_path_factory):
    """A folder with the checkpoints of the steps in ``MAPS``."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    checkpoints = Checkpoints(folder, keep_last=3, keep_best=1, run="mine")
    for step, score in MAPS.items():
        checkpoints.save(
            state_at(initial, step), position={"next_batch": step}, validation_map=score
        )
    checkpoints.close()
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoints")


class Opened:
    """Checkpoints that are open within a block, and the lines that they have said."""

    def __init__(self, folder, *, run="mine", **settings):
        self.said = []
        settings = {"keep_last": 3, "keep_best": 1} | settings
        self.checkpoints = Checkpoints(folder, run=run, say=self.said.append, **settings)

    def __enter__(self):
        return self.checkpoints, self.said

    def __exit__(self, *error):
        self.checkpoints.close()


def assert_state(initial, state, step):
    assert int(state.step) == step
    for got, expected in zip(
        jax.tree.leaves(state.params),
        jax.tree.leaves(state_at(initial, step).params),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)


def flip(path, place, bit=0):
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)


def largest(folder):
    """The file with the values of the arrays."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def damage_state(kind, step_folder):
    state = step_folder / "state"
    if kind == "removed":
        shutil.rmtree(state)
    elif kind == "emptied":
        largest(state).write_bytes(b"")
    elif kind == "truncated":
        path = largest(state)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "without record":
        shutil.rmtree(step_folder / "data")
    elif kind == "with a pipe":
        os.mkfifo(state / "pipe")
    elif kind == "a file":
        shutil.rmtree(step_folder)
        step_folder.write_text("")


@pytest.mark.parametrize("kind", KINDS)
def test_if_the_latest_checkpoint_is_damaged_an_earlier_one_is_used_and_this_is_reported(
    kind, folder, initial
):
    damage_state(kind, folder / "12")
    with Opened(folder) as (checkpoints, said):
        state, position = checkpoints.restore_latest(initial)
        assert_state(initial, state, 8)
        assert position == {"next_batch": 8}
        assert len(said) == 1
        assert str(folder / "12") in said[0]
        assert "is damaged (" in said[0]
        assert (
            "Continuing from step 8. The damaged checkpoint was renamed to 12.damaged." in said[0]
        )
        # Nothing is lost, and the step can be saved again.
        assert (folder / "12.damaged").exists()
        checkpoints.save(state_at(initial, 12), position={"next_batch": 12}, validation_map=0.3)
    with Opened(folder) as (checkpoints, said):
        assert_state(initial, checkpoints.restore_latest(initial)[0], 12)
        assert said == []


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_flipped_bits_are_never_restored(place, folder, initial):
    for path in sorted((folder / "12").rglob("*")):
        if path.is_file() and path.stat().st_size:
            flip(path, place, bit=int(place * 10) % 8)
    with Opened(folder) as (checkpoints, said):
        assert_state(initial, checkpoints.restore_latest(initial)[0], 8)
        assert len(said) == 1


def test_changed_values_in_a_valid_archive_of_arrays_are_rejected(folder, initial, tmp_path):
    other = tmp_path / "other"
    with Opened(other) as (checkpoints, _):
        checkpoints.save(state_at(initial, 13), position={"next_batch": 13})
    # The same number of arrays with the same shapes, under the record of another checkpoint.
    shutil.rmtree(folder / "12" / "state")
    shutil.copytree(other / "13" / "state", folder / "12" / "state")
    with Opened(folder) as (checkpoints, said):
        assert_state(initial, checkpoints.restore_latest(initial)[0], 8)
        assert "its arrays were saved at step 13" in said[0]


def test_a_checkpoint_moved_to_another_step_is_rejected(folder, initial):
    (folder / "12").rename(folder / "16")
    with Opened(folder) as (checkpoints, said):
        assert_state(initial, checkpoints.restore_latest(initial)[0], 8)
        assert "it was saved at step 12" in said[0]


def test_checkpoints_from_another_run_are_rejected(folder, initial):
    before = sorted(folder.rglob("*"))
    with (
        Opened(folder, run="other") as (checkpoints, _),
        pytest.raises(DamagedFile, match=r"no checkpoint can be restored: 12: it was written") as e,
    ):
        checkpoints.restore_latest(initial)
    assert "delete this folder to train from scratch" in str(e.value)
    assert sorted(folder.rglob("*")) == before, "all of them are kept"


def test_without_a_checkpoint_there_is_nothing_to_restore(tmp_path, initial):
    with Opened(tmp_path / "none") as (checkpoints, said):
        assert checkpoints.restore_latest(initial) is None
        assert checkpoints.latest_step() is None
        assert said == []


def test_read_only_checkpoints_are_not_changed(folder, initial):
    damage_state("truncated", folder / "12")
    before = sorted(folder.rglob("*"))
    with Opened(folder, read_only=True) as (checkpoints, said):
        assert_state(initial, checkpoints.restore_latest(initial)[0], 8)
        assert "renamed" not in said[0]
    assert sorted(folder.rglob("*")) == before


def test_the_best_checkpoint_is_chosen_by_hashed_records(folder, initial):
    with Opened(folder) as (checkpoints, said):
        assert checkpoints.best_step() == 8
        assert_state(initial, checkpoints.restore_best(initial)[0], 8)
        assert said == []
    record = folder / "4" / "data" / "metadata"
    record.write_text(record.read_text().replace("0.2", "0.99"))
    with Opened(folder) as (checkpoints, said):
        assert checkpoints.best_step() == 8, "the record of step 4 does not match its hash"


@pytest.mark.parametrize("kind", ["truncated", "gone"])
def test_if_the_best_checkpoint_is_damaged_the_next_best_is_used_and_this_is_reported(
    kind, folder, initial
):
    if kind == "gone":
        shutil.rmtree(folder / "8")
    else:
        damage_state(kind, folder / "8")
    with Opened(folder) as (checkpoints, said):
        assert_state(initial, checkpoints.restore_best(initial)[0], 12)
    assert len(said) == 1
    assert f"{folder / '8'}, the checkpoint with the best validation MAP, is damaged" in said[0]
    assert "Using step 12, which has the best MAP among the other checkpoints." in said[0]


def as_version_0_1(step_folder, step, score):
    (step_folder / "data" / "metadata").write_text(json.dumps({"next_batch": step}))
    (step_folder / "metrics").mkdir()
    (step_folder / "metrics" / "metrics").write_text(json.dumps({"validation_map": score}))


def test_checkpoints_from_version_0_1_are_restored_with_a_note(folder, initial):
    for step, score in MAPS.items():
        as_version_0_1(folder / str(step), step, score if step != 12 else -1.0)
    with Opened(folder) as (checkpoints, said):
        assert checkpoints.best_step() == 8
        assert_state(initial, checkpoints.restore_latest(initial)[0], 12)
        assert len(said) == 1
        assert "checkpoint 12 was written by version 0.1 without a hash" in said[0]


@pytest.mark.parametrize("content", [{"next_batch": "x"}, {"next_batch": 8}, {"next_batch": None}])
def test_a_position_of_version_0_1_must_be_that_of_its_step(content, folder, initial):
    for step in MAPS:
        as_version_0_1(folder / str(step), step, 0.5)
    (folder / "12" / "data" / "metadata").write_text(json.dumps(content))
    with Opened(folder) as (checkpoints, said):
        assert_state(initial, checkpoints.restore_latest(initial)[0], 8)
    assert any(f"it was saved at step {content['next_batch']})" in line for line in said)


def test_a_position_of_version_0_1_without_the_next_batch_is_completed(folder, initial):
    as_version_0_1(folder / "12", 12, 0.5)
    (folder / "12" / "data" / "metadata").write_text("{}")
    with Opened(folder) as (checkpoints, _):
        assert checkpoints.restore_latest(initial)[1] == {"next_batch": 12}


def test_a_record_without_its_hash_is_not_mistaken_for_an_old_one(folder, initial):
    record = folder / "12" / "data" / "metadata"
    record.write_text(record.read_text().replace('"sha256"', '"sha257"'))
    with Opened(folder) as (checkpoints, said):
        assert_state(initial, checkpoints.restore_latest(initial)[0], 8)
        assert "its record has no hash" in said[0]


def test_a_malformed_record_is_reported_as_damage(folder, initial):
    for content in ([], None, 3, {"next_batch": 3, "best_step": 1}, sealed({"a": 1})):
        (folder / "12" / "data" / "metadata").write_text(json.dumps(content))
        with (
            Opened(folder, read_only=True) as (checkpoints, _),
            pytest.raises(DamagedFile, match=r"checkpoints/12 is damaged or not a checkpoint"),
        ):
            checkpoints.restore(initial, 12)


def test_every_value_path_shape_and_dtype_changes_the_hash_of_arrays():
    arrays = {"a": np.zeros(2, np.float32), "b": {"c": np.int32(1)}}
    others = [
        arrays | {"a": np.array([0, -0.0], np.float32)},
        arrays | {"a": np.zeros(2, np.int32)},
        arrays | {"a": np.zeros((2, 1), np.float32)},
        arrays | {"b": {"d": np.int32(1)}},
        {"a": arrays["a"]},
    ]
    hashes = [arrays_sha256(each) for each in (arrays, *others)]
    assert len(set(hashes)) == len(hashes)


def test_the_latest_and_the_best_are_kept_and_the_latest_wins_ties():
    @dataclasses.dataclass
    class Info:
        step: int

    kept = KeptCheckpoints(keep_last=1, keep_best=2)
    kept.maps.update({1: 0.5, 2: 0.5, 3: 0.5, 4: None, 5: 0.1})
    infos = [Info(step) for step in range(1, 6)]
    assert kept.should_preserve(infos, context=None) == [False, True, True, False, True]
    assert list(kept.measured()) == [3, 2, 1, 5]


def test_a_pipe_that_orbax_would_read_at_once_is_rejected(folder):
    metadata = folder / "8" / "_CHECKPOINT_METADATA"
    metadata.unlink()
    os.mkfifo(metadata)
    with pytest.raises(DamagedFile, match=r"8/_CHECKPOINT_METADATA is damaged"):
        Checkpoints(folder)
