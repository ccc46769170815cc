"""The benchmarks run at small sizes: what they print and write, never how fast they were."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# Its photographs are scikit-image's, of the extra `peers`.
without_photographs = pytest.mark.skipif(
    importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed"
)
FOLDER = pytest.param("folder", marks=without_photographs)


@pytest.fixture(scope="module")
def programs():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setenv("PYTHONPATH", str(BENCHMARKS.parent))
        # Two programs are called run; this one is not to stay under that name.
        before = sys.modules.pop("run", None)
        import run as program

        sys.modules.pop("run")
        if before is not None:
            sys.modules["run"] = before
        yield program


@pytest.mark.parametrize(
    "suite", ["train", "encode", "loss", "hamming", "map", "input", FOLDER, "import"]
)
def test_a_suite_prints_a_table_and_writes_its_rates(programs, suite, tmp_path, capsys):
    file = tmp_path / f"{suite}.json"
    programs.main(["--suite", suite, "--small", "--peers", "eager", "--json", str(file)])
    printed = capsys.readouterr().out
    assert f"{suite}: " in printed
    assert "hashnet_jax" in printed
    content = json.loads(file.read_text())
    assert {"device", "jax", "commit", "peak_flops"} <= set(content["environment"])
    for row in content["rows"]:
        assert (row["rate"] or 0) > 0 or row["note"].startswith(("missing", "failed"))
    assert any(row["rate"] and row["by"].startswith("hashnet_jax") for row in content["rows"])


@pytest.mark.parametrize("suite", ["train", "encode"])
def test_one_contender_alone_is_measured_when_it_is_named(programs, suite, tmp_path):
    file = tmp_path / "alone.json"
    programs.main(["--suite", suite, "--small", "--only", "hashnet_jax", "--json", str(file)])
    assert {row["by"] for row in json.loads(file.read_text())["rows"]} == {"hashnet_jax"}


def test_scaling_measures_a_process_with_devices_of_its_own(programs, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["suite_scaling"], "COUNTS", (2,))
    programs.main(["--suite", "scaling", "--small"])
    printed = capsys.readouterr().out
    assert "batch 8 on 2 device(s)" in printed
    assert "loss differs by 0e+00 from the first" in printed


def test_operations_are_measured_one_by_one(programs, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["suite_operations"], "LAYERS", ((4, 3, 2, 1, True),))
    programs.main(["--suite", "operations", "--small"])
    printed = capsys.readouterr().out
    assert printed.count("conv1, 3 x 3, 3 to 4, 63 px: gradient of the kernel, batch 8") == 1
    assert printed.count("max-pooling 1, 4 channels, 32 px: gradient, batch 8") == 1
    assert printed.count("jax.lax ") == 4


def test_costs_are_fitted_and_drawn(programs, monkeypatch, tmp_path, capsys):
    import cost

    # One line over each kind of size.
    lines = {kind: name for name, (kind, *_) in cost.LINES.items()}
    monkeypatch.setattr(cost, "LINES", {name: cost.LINES[name] for name in lines.values()})

    assert cost.exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    plot = tmp_path / "cost.png"
    cost.main(["--small", "--repeats", "1", "--plot", str(plot)])
    printed = capsys.readouterr().out
    assert printed.count("exponent") == len(cost.LINES)
    assert plot.stat().st_size > 1000


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
