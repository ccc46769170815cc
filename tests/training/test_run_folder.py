"""The folder of a run: one writer, whole files, and metrics that match the checkpoint."""

import json

import numpy as np
import pytest

from hashnet_jax.training import RunFolder


def steps(path):
    return [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_metrics_cut_short_by_a_kill_are_mended_on_resume(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("config.json", {})
        path = folder.path / "metrics.jsonl"
        path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
        folder.open_metrics(2).close()
        assert steps(folder.path) == [1, 2]
        path.write_text('{"step": 1}\n{"st')
        folder.open_metrics(2).close()
        assert steps(folder.path) == [1]


def test_a_folder_in_use_taken_or_without_a_run_is_refused_with_the_remedy(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("config.json", {})
        with (
            pytest.raises(BlockingIOError, match="another process is writing"),
            RunFolder(tmp_path / "run", resume=True),
        ):
            pass
    with pytest.raises(FileExistsError, match=r"contains 'config\.json': .*`resume=True`"):
        RunFolder(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no run to resume in .*no config\.json"):
        RunFolder(tmp_path / "empty", resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match=r"new or empty folder, but .* is a file"):
        RunFolder(tmp_path / "file")


def test_what_a_killed_attempt_left_does_not_take_the_folder(tmp_path):
    (tmp_path / ".lock").write_text("")
    (tmp_path / ".config.json.123.partial").write_text('{"se')
    with RunFolder(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_file_of_a_run_appears_whole_or_not_at_all(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("result.json", {"map": 1})
        with pytest.raises(TypeError):
            folder.write_json("result.json", {"map": object()})
        assert folder.read_json("result.json") == {"map": 1}


def test_arrays_are_read_as_they_were_written_and_a_damaged_file_is_named(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        assert folder.read_arrays("split.npz") is None
        folder.write_arrays("split.npz", {"train": np.arange(3), "bits": 48})
        arrays = folder.read_arrays("split.npz")
        np.testing.assert_array_equal(arrays["train"], [0, 1, 2])
        assert int(arrays["bits"]) == 48
        (folder.path / "config.json").write_text('{"seed"')
        with pytest.raises(ValueError, match=r"config\.json is damaged"):
            folder.read_json("config.json")
