"""The benchmarks that start processes of their own, or take seconds even at small sizes."""

import sys

import pytest
from benchmark_programs import check_suite


@pytest.mark.parametrize("suite", ["folder", "import"])
def test_a_suite_prints_a_table_and_writes_its_rates(programs, suite, tmp_path, capsys):
    check_suite(programs, suite, tmp_path, capsys)


def test_scaling_measures_a_process_with_devices_of_its_own(programs, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["suite_scaling"], "COUNTS", (2,))
    programs.main(["--suite", "scaling", "--small"])
    printed = capsys.readouterr().out
    assert "batch 8 on 2 device(s)" in printed
    assert "loss differs by 0e+00 from the first" in printed


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
