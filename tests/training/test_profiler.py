"""The profile of a run opens in TensorBoard and Perfetto, and has the requested steps."""

import gzip
import json

import pytest
from jax.profiler import ProfileData

from hashnet_jax.data import DATASETS, Options
from hashnet_jax.distributed.devices import local_devices
from tests.support.short_runs import assert_equal_bit_for_bit, train


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"](Options(queries_per_class=5, train_per_class=10))


def perfetto_events(run):
    """The events of the run's only trace."""
    (path,) = run.glob("profile/plugins/profile/*/perfetto_trace.json.gz")
    return json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]


def steps_of(events):
    """The numbers of the annotated steps."""
    numbers = [event["args"]["step_num"] for event in events if event.get("name") == "train"]
    return sorted(map(int, numbers))


@pytest.mark.parametrize("n_devices", [1, 2])
def test_a_profile_has_the_steps_after_compilation_and_changes_no_parameter(
    n_devices, digits, tmp_path
):
    said, devices = [], local_devices(n_devices)
    plain, _ = train(digits, tmp_path / "plain", devices=devices)
    run = tmp_path / "run"
    profiled, _ = train(digits, run, devices=devices, profile_steps=3, say=said.append)
    events = perfetto_events(run)
    assert steps_of(events) == [3, 4, 5]
    names = {event.get("name", "") for event in events}
    assert any("Executor::Execute" in name for name in names), "the computation itself"
    assert not [name for name in names if "compile_or_get_cached" in name]
    assert said == [f"profile of steps 3 to 5: {run / 'profile'}"]
    assert_equal_bit_for_bit(profiled, plain)


def test_the_file_for_tensorboard_has_as_many_steps(digits, tmp_path):
    train(digits, tmp_path / "run", profile_steps=2, say=lambda line: None)
    (path,) = tmp_path.glob("run/profile/plugins/profile/*/*.xplane.pb")
    data = ProfileData.from_file(str(path))
    names = [event.name for plane in data.planes for line in plane.lines for event in line.events]
    # Reading the events' statistics, such as the number of the step, aborts JAX 0.12.
    assert names.count("train") == 2


def test_a_profile_longer_than_the_run_has_its_remaining_steps(digits, tmp_path):
    said = []
    train(digits, tmp_path / "run", profile_steps=100, say=said.append)
    assert steps_of(perfetto_events(tmp_path / "run")) == list(range(3, 13))
    assert said == [f"profile of steps 3 to 12: {tmp_path / 'run' / 'profile'}"]


def test_a_run_that_ends_while_it_compiles_says_that_it_has_no_profile(digits, tmp_path):
    with pytest.raises(ZeroDivisionError):
        train(digits, tmp_path / "run", validate=lambda params: 1 / 0, validate_every=10)
    said = []
    with pytest.raises(ZeroDivisionError):
        train(
            digits,
            tmp_path / "run",
            resume=True,
            profile_steps=2,
            say=said.append,
            validate=lambda params: 1 / 0,
            validate_every=10,
        )
    assert said == [
        "note: no steps were profiled, because the run ended before step 11; its first 2 steps "
        "include compilation."
    ]
    assert not (tmp_path / "run" / "profile").exists()
