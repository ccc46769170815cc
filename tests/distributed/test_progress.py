"""Tests that progress is reported as a few lines in a log or as a bar on a terminal."""

import sys

import pytest

from hashnet_jax.distributed import processes, progress
from hashnet_jax.distributed.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Returns a function ``clock(seconds)`` that sets the time."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def set_time(seconds):
        now[0] = seconds

    return set_time


def test_a_log_gets_a_line_every_five_seconds_and_the_last_one(clock, capsys):
    with Progress(100, "encoding", "image") as shown:
        for second in range(1, 101):
            clock(second / 10)
            shown.update()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "encoding: 50/100 images, 10 images/s, 5 s left",
        "encoding: 100/100 images, 10 images/s, 0 s left",
    ]


def test_short_work_leaves_one_line(clock, capsys):
    with Progress(64, "encoding database", "image") as shown:
        for _ in range(2):
            clock(0.1)
            shown.update(32)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_interval_can_be_changed_and_numbers_are_shown(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with Progress(12, "training", "step", done=10) as shown:
        shown.update(numbers={"loss": 0.693147, "beta": 1.0})
        shown.update()
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("training: 11/12 steps, ")
    assert first.endswith(", loss 0.6931, beta 1")
    assert second.startswith("training: 12/12 steps, ")


def test_more_work_extends_the_total(clock, capsys):
    with Progress(2, "comparing", "run") as shown:
        clock(1.0)
        shown.update()
        shown.extend(3)
        clock(10.0)
        shown.update()
        shown.update(3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["comparing: 2/5 runs", "comparing: 5/5 runs"]


def test_the_rate_counts_only_the_units_of_this_run(clock, capsys):
    with Progress(20, "training", "step", done=10) as shown:
        clock(5.0)
        shown.update(5)
    assert "15/20 steps, 1 steps/s, 5 s left" in capsys.readouterr().err


def test_a_terminal_shows_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress(4, "training", "step", done=1) as shown:
        shown.update(3, {"loss": 0.5})
    errors = capsys.readouterr().err
    assert "training: 100%" in errors
    assert "loss=0.5" in errors


def test_only_the_first_process_shows_its_progress(monkeypatch, capsys):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    with Progress(1, "training", "step") as shown:
        shown.update()
    assert capsys.readouterr().err == ""
