"""Tests benchmarks that start their own processes, or take seconds even at tiny sizes."""

import pytest

from benchmarks import cost, run, suite_scaling
from tests.support.benchmark_programs import check_suite


@pytest.mark.parametrize("suite", ["folder", "import"])
def test_a_suite_prints_a_table_and_writes_its_rates(suite, tmp_path, capsys):
    check_suite(suite, tmp_path, capsys)


def test_scaling_measures_a_process_with_its_own_devices(monkeypatch, capsys):
    monkeypatch.setattr(suite_scaling, "DEVICE_COUNTS", (2,))
    run.main(["--suite", "scaling", "--small"])
    printed = capsys.readouterr().out
    assert "batch 8 on 2 device(s)" in printed
    assert "loss differs from the first row by 0e+00" in printed


def test_costs_are_fitted_and_plotted(monkeypatch, tmp_path, capsys):
    # There is one curve per kind of size.
    names = {kind: name for name, (kind, *_) in cost.CURVES.items()}.values()
    monkeypatch.setattr(cost, "CURVES", {name: cost.CURVES[name] for name in names})
    plot = tmp_path / "cost.png"
    cost.main(["--small", "--repeats", "1", "--plot", str(plot)])
    assert capsys.readouterr().out.count("exponent") == len(cost.CURVES)
    assert plot.stat().st_size > 1000


def test_the_exponent_of_quadratic_times_is_two():
    assert cost.exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
