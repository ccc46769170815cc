"""Tests for the output of the benchmark suites, with tiny sizes."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import alone, comparing, measuring, run, suite_operations
from benchmarks.suite_loss import blocks
from hashnet_jax.distributed.reading import DamagedFile
from tests.support.benchmark_programs import check_suite


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["train", "encode", "loss", "hamming", "map", "input", "store"])
def test_a_suite_prints_a_table_and_writes_its_rates(suite, tmp_path, capsys):
    check_suite(suite, tmp_path, capsys)


def test_only_the_named_contender_is_measured(tmp_path):
    file = tmp_path / "alone.json"
    run.main(["--suite", "encode", "--small", "--only", "hashnet_jax", "--json", str(file)])
    assert {row["by"] for row in json.loads(file.read_text())["rows"]} == {"hashnet_jax"}


@pytest.mark.slow
def test_every_contender_encodes_in_a_process_of_its_own(tmp_path, monkeypatch):
    for library in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(library)
    started = []
    start = alone.module_command
    monkeypatch.setattr(alone, "module_command", lambda *args: started.append(args) or start(*args))
    monkeypatch.setitem(run.SMALL, "backbone", ["resnet18"])
    monkeypatch.setitem(run.SMALL, "image_size", 32)
    file = tmp_path / "alone.json"
    run.main(["--suite", "encode", "--small", "--peers", "eager", "--json", str(file)])
    rows = [row for row in json.loads(file.read_text())["rows"] if "JPEG" not in row["case"]]
    assert {row["by"] for row in rows} == {
        "hashnet_jax",
        "PyTorch eager",
        "PyTorch eager, channels_last",
        "onnxruntime",
    }
    assert len(started) == 4


def test_a_failure_of_this_package_alone_in_its_process_raises():
    options = run.parse(["--suite", "encode", "--small", "--peers", "none"])
    options.backbone = ["no_such_backbone"]
    with pytest.raises(
        RuntimeError, match=r"encode of no_such_backbone failed: .*no_such_backbone"
    ):
        list(alone.run("encode", options))


def test_the_rows_of_several_rounds_become_one_with_a_median_of_each(monkeypatch):
    times = iter([[3.0, 1.0, 2.0], [4.0, 4.0, 7.0]])
    monkeypatch.setattr(
        alone,
        "_measure_alone",
        lambda *_: [measuring.Row("encode", "case", "hashnet_jax", next(times), memory=1.0)],
    )
    options = run.parse(["--suite", "encode", "--rounds", "2", "--backbone", "alexnet"])
    options.peers = "none"
    (row,) = alone.run("encode", options)
    assert (row.seconds, row.memory, row.busy) == ([2.0, 4.0], 1.0, None)


def test_a_contender_that_fails_in_one_round_has_failed(monkeypatch):
    failed = measuring.missing("encode", "case", "PyTorch eager", "no memory")
    rounds = iter([[measuring.Row("encode", "case", "PyTorch eager", [1.0])], [failed]])
    monkeypatch.setattr(alone, "_measure_alone", lambda *_: next(rounds))
    options = run.parse(["--suite", "encode", "--rounds", "2", "--backbone", "alexnet"])
    options.only = "PyTorch eager"
    assert list(alone.run("encode", options)) == [failed]


def test_a_contender_of_another_suite_is_refused(capsys):
    with pytest.raises(SystemExit):
        run.parse(["--suite", "train", "--only", "onnxruntime"])
    assert "--only must be a contender of the suite train" in capsys.readouterr().err


def make_rows(busy):
    ours = measuring.Row("train", "case", "hashnet_jax", [0.5], items=2, busy=busy)
    slow = measuring.Row("train", "case", "PyTorch eager", [2.0], items=2, busy=0.0)
    fast = measuring.Row("train", "case", "PyTorch compile", [1.0], items=2, busy=0.0)
    return [ours, slow, fast]


def test_a_ratio_is_relative_to_the_fastest_peer_and_marked_on_a_busy_machine():
    idle, busy = comparing.table(make_rows(0.01)), comparing.table(make_rows(0.3))
    assert "  2.00  " in idle
    assert "Measure again" not in idle
    assert "2.00?" in busy
    assert busy.endswith("Measure again on an idle machine.")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/stat exists only on Linux")
def test_the_work_of_other_processes_makes_a_machine_busy():
    spin = "import time\nend = time.monotonic() + 2\nwhile time.monotonic() < end: pass"
    with subprocess.Popen([sys.executable, "-c", spin]):
        time.sleep(0.5)  # Starting takes other resources than the CPU.
        clock = measuring.BusyClock()
        time.sleep(1)
        busy = clock.share()
    assert 0.5 / os.cpu_count() < busy <= 1


def test_the_busy_share_is_the_time_of_others_over_the_whole_cpu_time(monkeypatch):
    clock = measuring.BusyClock()
    others, total = clock._start
    monkeypatch.setattr(measuring, "_cpu_seconds", lambda: (others + 1.0, total + 4.0))
    assert clock.share() == 0.25
    monkeypatch.setattr(measuring, "_cpu_seconds", lambda: None)
    assert clock.share() is None


def test_operations_are_measured_one_by_one(monkeypatch, capsys):
    monkeypatch.setattr(suite_operations, "CONV_LAYERS", ((4, 3, 2, 1, True),))
    run.main(["--suite", "operations", "--small"])
    printed = capsys.readouterr().out
    case = "conv1, 3 x 3, 3 to 4, 63 px: gradient with respect to the kernel, batch 8"
    assert printed.count(case) == 1
    assert printed.count("max-pooling 1, 4 channels, 32 px: gradient, batch 8") == 1
    assert printed.count("jax.lax ") == 4


def test_the_loss_of_the_torch_step_equals_ours():
    torch = pytest.importorskip("torch")
    from benchmarks.torch_peers import pairwise_loss

    rng = np.random.default_rng(0)
    codes, labels = np.tanh(rng.normal(size=(20, 12))).astype(np.float32), rng.integers(0, 3, 20)
    expected = pairwise_loss(torch.tensor(codes), torch.tensor(labels))
    np.testing.assert_allclose(blocks(codes, labels), expected, rtol=1e-5)


def test_results_of_two_machines_are_shown_side_by_side_with_a_plot(tmp_path, capsys):
    machine = {"device": "1 x cpu", "jax": "0", "commit": "abc"}
    row = {"suite": "loss", "case": "small", "by": "hashnet_jax", "unit": "pairs", "rate": 10.0}
    files = [tmp_path / name for name in ("here.json", "there.json")]
    files[0].write_text(json.dumps({"environment": machine, "rows": [row]}))
    slower = [row | {"rate": 5.0}, row | {"case": "other", "rate": None}]
    files[1].write_text(json.dumps({"environment": machine, "rows": slower}))
    plot = tmp_path / "plot.png"
    run.main(["--compare", *map(str, files), "--plot", str(plot)])
    printed = capsys.readouterr().out
    assert [float(x) for x in printed.splitlines()[3].split()[-2:]] == [10.0, 5.0]
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "top-level value is of type list"),
        ('{"environment": {}, "rows": []}', "'device' is missing"),
        ('{"environment": {"device": "", "jax": "", "commit": ""}, "rows": [{}]}', "'suite' is m"),
    ],
)
def test_a_damaged_results_file_is_named(tmp_path, content, reason):
    (tmp_path / "here.json").write_text(content)
    with pytest.raises(DamagedFile, match=rf"here\.json is damaged or not the res.*{reason}"):
        run.main(["--compare", str(tmp_path / "here.json")])


def test_a_failing_peer_gets_a_note_and_a_failing_package_raises():
    def broken():
        raise RuntimeError("no such instruction")

    (row,) = measuring.measure([(measuring.Row("train", "case", "PyTorch eager"), broken)], 1)
    assert row.note == "failed: RuntimeError: no such instruction"
    with pytest.raises(RuntimeError, match="no such instruction"):
        measuring.measure([(measuring.Row("train", "case", "hashnet_jax"), broken)], 1)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", None),
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("cpu", None),
    ],
)
def test_a_chip_has_the_peak_from_its_data_sheet_or_a_measured_one(monkeypatch, kind, expected):
    device = type("Device", (), {"device_kind": kind})()
    monkeypatch.setattr(measuring, "_measured", [])
    monkeypatch.setattr(measuring, "_measure_peak", lambda: (1.0, "measured"))
    monkeypatch.setattr(measuring.jax, "devices", lambda: [device])
    assert measuring.peak_flops()[0] == (expected or 1.0)
