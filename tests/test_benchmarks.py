"""The benchmarks run at small sizes: what they print and write, never how fast they were."""

import json
import sys

import pytest
from benchmark_programs import check_suite


@pytest.mark.parametrize("suite", ["train", "encode", "loss", "hamming", "map", "input"])
def test_a_suite_prints_a_table_and_writes_its_rates(programs, suite, tmp_path, capsys):
    check_suite(programs, suite, tmp_path, capsys)


def test_one_contender_alone_is_measured_when_it_is_named(programs, tmp_path):
    file = tmp_path / "alone.json"
    programs.main(["--suite", "encode", "--small", "--only", "hashnet_jax", "--json", str(file)])
    assert {row["by"] for row in json.loads(file.read_text())["rows"]} == {"hashnet_jax"}


def test_operations_are_measured_one_by_one(programs, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["suite_operations"], "LAYERS", ((4, 3, 2, 1, True),))
    programs.main(["--suite", "operations", "--small"])
    printed = capsys.readouterr().out
    assert printed.count("conv1, 3 x 3, 3 to 4, 63 px: gradient of the kernel, batch 8") == 1
    assert printed.count("max-pooling 1, 4 channels, 32 px: gradient, batch 8") == 1
    assert printed.count("jax.lax ") == 4


def test_the_torch_step_takes_the_same_loss(programs):
    torch = pytest.importorskip("torch")
    import numpy as np
    from suite_loss import blocks
    from torch_peers import pairwise_loss

    rng = np.random.default_rng(0)
    codes, labels = np.tanh(rng.normal(size=(20, 12))).astype(np.float32), rng.integers(0, 3, 20)
    expected = pairwise_loss(torch.tensor(codes), torch.tensor(labels))
    np.testing.assert_allclose(blocks(codes, labels), expected, rtol=1e-5)


def test_files_of_two_machines_are_shown_side_by_side_with_a_plot(programs, tmp_path, capsys):
    machine = {"device": "1 x cpu", "jax": "0", "commit": "abc"}
    row = {"suite": "loss", "case": "small", "by": "hashnet_jax", "unit": "pairs", "rate": 10.0}
    files = [tmp_path / name for name in ("here.json", "there.json")]
    files[0].write_text(json.dumps({"environment": machine, "rows": [row]}))
    slower = [row | {"rate": 5.0}, row | {"case": "other", "rate": None}]
    files[1].write_text(json.dumps({"environment": machine, "rows": slower}))
    plot = tmp_path / "plot.png"
    programs.main(["--compare", *map(str, files), "--plot", str(plot)])
    printed = capsys.readouterr().out
    assert [float(x) for x in printed.splitlines()[3].split()[-2:]] == [10.0, 5.0]
    assert plot.stat().st_size > 1000


def test_a_contender_that_fails_is_said_and_the_package_itself_may_not(programs):
    from measuring import Row, measure

    def broken():
        raise RuntimeError("no such instruction")

    (row,) = measure([(Row("train", "case", "PyTorch eager"), broken)], repeats=1)
    assert row.note == "failed: RuntimeError: no such instruction"
    with pytest.raises(RuntimeError, match="no such instruction"):
        measure([(Row("train", "case", "hashnet_jax"), broken)], repeats=1)


def test_a_chip_has_the_peak_of_its_own_data_sheet(programs, monkeypatch):
    import measuring

    measured = (1.0, "measured")
    monkeypatch.setattr(measuring, "_measured_peak", lambda: measured)
    for kind, expected in {
        "NVIDIA H100 80GB HBM3": 989e12,
        "NVIDIA H100 PCIe": 756e12,
        "NVIDIA A100-SXM4-40GB": 312e12,
        "NVIDIA L4": 121e12,
        "NVIDIA L40S": None,
        "TPU v5 lite": 197e12,
        "TPU v5p": 459e12,
        "cpu": None,
    }.items():
        device = type("Device", (), {"device_kind": kind})()
        monkeypatch.setattr(measuring, "_peak", [])
        monkeypatch.setattr(measuring.jax, "devices", lambda device=device: [device])
        assert measuring.peak()[0] == (expected or measured[0]), kind
