"""Tests that files of another run, and damaged files, are refused by name."""

import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.cli import main
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.distributed.seals import sealed, unsealed
from hashnet_jax.report import bound_result, protocol_card, read_finished_run, read_result
from hashnet_jax.training import RunFolder
from tests.support.made_runs import make_run

OLD = Path(__file__).parents[1] / "data_0_1" / "finished"
FILES = ("config.json", "metrics.jsonl", "model.npz", "codes.npz")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, and the same run with other files that are valid in themselves."""
    run, other = (tmp_path_factory.mktemp("bound") / name for name in ("run", "other"))
    _, params = make_run(run)
    with RunFolder(run, resume=True) as folder:
        folder.write_arrays("split.npz", {"labels": np.arange(3)})
        content = folder.read_json("result.json")
        folder.write_json("result.json", bound_result(content, run))
    shutil.copytree(run, other)
    hashnet_jax.save(other, type(params)(_doubled(params.variables), params.spec))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    changed = [json.dumps(line | {"gradient_norm": 0.2}) + "\n" for line in lines]
    (other / "metrics.jsonl").write_text("".join(changed))
    with RunFolder(other, resume=True) as folder:
        folder.write_json("config.json", folder.read_json("config.json") | {"seed": 7})
        folder.write_arrays("split.npz", {"labels": np.arange(4)})
        arrays = folder.read_arrays("codes.npz")
        arrays["query_indices"] = arrays["query_indices"][::-1]
        folder.write_arrays("codes.npz", arrays)
        content = folder.read_json("result.json")
        folder.write_json("result.json", bound_result(content, other))
    return run, other


def _doubled(variables):
    return {name: _doubled(v) if isinstance(v, dict) else 2 * v for name, v in variables.items()}


@pytest.fixture
def run(runs, tmp_path):
    return shutil.copytree(runs[0], tmp_path / "run")


@pytest.mark.slow
def test_both_runs_are_valid(runs):
    for folder in runs:
        assert read_finished_run(folder).is_verified


@pytest.mark.parametrize("name", [*FILES, "split.npz"])
def test_a_file_from_another_run_is_rejected_by_name(runs, run, name, capsys):
    shutil.copy(runs[1] / name, run / name)
    with pytest.raises(
        DamagedFile, match=rf"run/{re.escape(name)} is damaged or not the file that"
    ):
        read_finished_run(run)
    for command in (["report", str(run)], ["report", str(run), "--card"], ["info", str(run)]):
        assert main(command) == 1
        printed = capsys.readouterr()
        assert f"{run}/{name} is damaged or not the file that result.json" in printed.err
        assert printed.out == ""


def test_a_changed_value_in_the_result_is_rejected(run):
    path = run / "result.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"seconds": 12.6}))
    with pytest.raises(DamagedFile, match=r"result\.json .*does not match its SHA-256"):
        read_result(run)
    del content["sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedFile, match=r"result\.json .*it has no SHA-256 of its own"):
        read_result(run)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, "result.json"])
@pytest.mark.parametrize("damage", ["emptied", "cut", "deep", "not UTF-8", "another type"])
def test_a_damaged_file_is_named_whether_or_not_there_are_hashes(run, name, damage):
    unbind(run)
    path = run / name
    whole = path.read_bytes()
    path.write_bytes(
        {
            "emptied": b"",
            "cut": whole[: len(whole) // 2],
            "deep": b"[" * 100_000,
            "not UTF-8": whole[:10] + b"\xff\xfe" + whole[10:],
            "another type": b"null\n",
        }[damage]
    )
    with pytest.raises(DamagedFile, match=rf"run/{re.escape(name)} is damaged or not "):
        read_finished_run(run)


def unbind(run, **changes):
    """Turns a run into one of version 0.1, without hashes, and changes entries of its result."""
    for name in ("config.json", "result.json"):
        content = unsealed(json.loads((run / name).read_text()))
        content.pop("files", None)
        content |= changes if name == "result.json" else {}
        (run / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": -1}, "'step' must be an integer >= 0, but is -1"),
        ({"step": 10.5}, "'step' must be an integer >= 0"),
        ({"map": [1]}, "'map' must be an object"),
        ({"map": {"expected": 0.5}}, "'worst' is missing"),
        ({"sizes": {"query": 3}}, "'database' is missing"),
        ({"notes": [1]}, "entry 0 of 'notes' must be a string"),
        ({"overlaps": {"query/train": {"same_image": 0}}}, "'same_picture' is missing"),
        ({"codes": {}}, "is missing"),
        ({"versions": None}, "'versions' must be an object"),
    ],
)
def test_a_malformed_result_is_rejected(run, changes, reason):
    unbind(run, **changes)
    with pytest.raises(DamagedFile, match=rf"result\.json .*{reason}"):
        read_finished_run(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("query_codes", lambda a: a.astype(np.float64), "wrong dtype, float64"),
        ("database_codes", lambda a: a[:, :1], "must have the shape"),
        ("query_labels", lambda a: a[:-1], "must have the shape"),
        ("query_labels", lambda a: a.astype(float), "wrong dtype, float64"),
        ("query_indices", lambda a: a - 10_000, "negative"),
        ("database_indices", lambda a: a[None], "must have the shape"),
        ("bits", lambda a: a + 1, "17 bits"),
    ],
)
def test_malformed_codes_are_rejected(run, name, change, reason):
    unbind(run)
    with np.load(run / "codes.npz") as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(run / "codes.npz", **arrays | {name: change(arrays[name])})
    with pytest.raises(DamagedFile, match=rf"codes\.npz .*{reason}"):
        read_finished_run(run)
    np.savez(run / "codes.npz", **{key: a for key, a in arrays.items() if key != name})
    with pytest.raises(DamagedFile, match=rf"codes\.npz .*'{name}' is missing"):
        read_finished_run(run)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: [*lines, lines[-1]], r"line \d+: step \d+ comes after step"),
        (lambda lines: lines[:-3], "its last loss is at step"),
        (lambda lines: lines[-2:], "contains no losses at or before the evaluated step"),
        (lambda lines: ["{}\n", *lines], "line 1: 'step' is missing"),
        (lambda lines: [lines[0].replace('"loss"', '"loss": "high", "x"')], "'loss' must be a num"),
        (lambda lines: [lines[0].replace('"beta"', '"better"')], "line 1: 'beta' is missing"),
        (lambda lines: [lines[0], "\0\0\0\n", *lines[1:]], "line 2: "),
    ],
)
def test_malformed_metrics_are_rejected(run, change, reason):
    unbind(run, step=100)
    path = run / "metrics.jsonl"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    with pytest.raises(DamagedFile, match=rf"metrics\.jsonl .*{reason}"):
        read_finished_run(run)


@pytest.mark.slow
def test_a_network_with_another_spec_is_rejected_even_without_hashes(run):
    params = hashnet_jax.load(run)
    unbind(run)
    spec = hashnet_jax.ModelSpec("small_cnn", bits=8, image_size=8, resize=8)
    hashnet_jax.save(run, hashnet_jax.init(jax.random.key(0), spec))
    with pytest.raises(DamagedFile, match=r"model\.npz is damaged or not the network of this run"):
        read_finished_run(run)
    hashnet_jax.save(run, params)
    assert not read_finished_run(run).is_verified


def test_a_run_from_version_0_1_is_read_with_a_note(capsys):
    card = protocol_card(read_finished_run(OLD))
    assert card["provenance"]["is_verified"] is False
    assert main(["report", str(OLD), "--card"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "written by version 0.1, which saved no hashes" in printed
    assert json.loads(json.dumps(sealed(card))) == sealed(card)
