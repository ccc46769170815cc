"""Tests the run folder: its lock, atomic writes, and metrics that match the checkpoint."""

import errno
import hashlib
import json
import os

import numpy as np
import pytest

from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.training import RunFolder, _run_folder


def steps(path):
    return [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_metrics_truncated_by_a_kill_are_repaired_on_resume(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("config.json", {})
        path = folder.path / "metrics.jsonl"
        path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
        folder.open_metrics(2).close()
        assert steps(folder.path) == [1, 2]
        path.write_text('{"step": 1}\n{"st')
        folder.open_metrics(2).close()
        assert steps(folder.path) == [1]


def test_a_folder_in_use_taken_or_without_a_run_is_rejected_with_the_remedy(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("config.json", {})
        with (
            pytest.raises(BlockingIOError, match="another process is writing"),
            RunFolder(tmp_path / "run", resume=True),
        ):
            pass
    with pytest.raises(FileExistsError, match=r"contains 'config\.json'\. .*`resume=True`"):
        RunFolder(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no run to resume in .*no config\.json"):
        RunFolder(tmp_path / "empty", resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match=r"new or empty folder, but .* is a file"):
        RunFolder(tmp_path / "file")


def test_leftovers_of_a_killed_attempt_do_not_block_the_folder(tmp_path):
    (tmp_path / ".lock").write_text("")
    (tmp_path / ".config.json.123.partial").write_text('{"se')
    with RunFolder(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_file_of_a_run_appears_complete_or_not_at_all(tmp_path):
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
        for content in ('{"seed"', "{}", "null", "[]", '{"seed": 0, "sha256": "0"}'):
            (folder.path / "config.json").write_text(content)
            if content != "{}":
                with pytest.raises(DamagedFile, match=r"run/config\.json is damaged"):
                    folder.read_json("config.json")
        split = folder.path / "split.npz"
        split.write_bytes(split.read_bytes()[:-40])
        with pytest.raises(DamagedFile, match=r"run/split\.npz is damaged"):
            folder.read_arrays("split.npz")


@pytest.fixture
def logged(tmp_path):
    """An open run folder with metrics up to step 3, and the hash of its lines up to step 2."""
    with RunFolder(tmp_path / "run") as folder:
        file = folder.open_metrics(0)
        for step in (1, 2, 3):
            file.write({"step": step, "loss": step / 8})
            sha256 = file.sync() if step == 2 else sha256 if step > 2 else ""
        file.close()
        yield folder, folder.path / "metrics.jsonl", sha256


def test_the_hash_of_the_metrics_covers_the_lines_up_to_the_checkpoint(logged):
    folder, path, sha256 = logged
    lines = path.read_bytes().splitlines(keepends=True)
    assert sha256 == hashlib.sha256(b"".join(lines[:2])).hexdigest()
    file = folder.open_metrics(2, sha256=sha256)
    file.write({"step": 3, "loss": 3 / 8})
    file.close()
    assert path.read_bytes() == b"".join(lines), "step 3 was logged again"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("0.125", "0.126", "its lines up to step 2 do not match their SHA-256"),
        ('"step": 2', '"step: 2', "line 2 is damaged"),
        ('{"step": 1, "loss": 0.125}\n', "", "do not match their SHA-256"),
        ("{", "[" * 100_000, "line 1 is damaged"),
    ],
)
def test_damaged_metrics_are_named_and_nothing_is_dropped(logged, old, new, reason):
    folder, path, sha256 = logged
    path.write_text(path.read_text().replace(old, new, 1))
    before = path.read_bytes()
    with pytest.raises(
        DamagedFile, match=r"run/metrics\.jsonl is damaged .*delete it|Delete it"
    ) as e:
        folder.open_metrics(2, sha256=sha256)
    assert reason in str(e.value)
    assert path.read_bytes() == before


def test_missing_metrics_are_reported_as_lost(logged):
    folder, path, sha256 = logged
    path.unlink()
    said = []
    folder.open_metrics(2, sha256=sha256, say=said.append).close()
    assert said == [f"note: {path} is missing, so the metrics up to step 2 are lost."]


def test_metrics_that_are_not_a_regular_file_do_not_block(logged):
    folder, path, sha256 = logged
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DamagedFile, match="it is not a regular file"):
        folder.open_metrics(2, sha256=sha256)


def test_a_crash_of_the_machine_may_leave_anything_at_the_end_of_the_metrics(logged):
    folder, path, sha256 = logged
    path.write_bytes(path.read_bytes()[:-10] + b"\0" * 512 + b"\n\0\0")
    folder.open_metrics(2, sha256=sha256).close()
    assert steps(folder.path) == [1, 2]


def refuse_to_write(path, busy):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def test_a_finished_run_on_read_only_media_is_read_without_a_lock(tmp_path, monkeypatch):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("config.json", {"seed": 0})
    monkeypatch.setattr(_run_folder, "exclusive_lock", refuse_to_write)
    with (
        pytest.raises(OSError, match=r"Read-only file system: .*\.lock"),
        RunFolder(tmp_path / "run", resume=True),
    ):
        pass
    (tmp_path / "run" / "result.json").write_text("{}")
    with RunFolder(tmp_path / "run", resume=True) as folder:
        assert folder.read_json("config.json") == {"seed": 0}
