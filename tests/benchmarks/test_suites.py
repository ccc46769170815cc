"""Tests for the output of the benchmark suites, with tiny sizes."""

import json

import numpy as np
import pytest

from benchmarks import measuring, run, suite_operations
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
