"""What other processes do when one is killed, fails or aborts; see also fuzz/peers.py."""

import signal
import socket
import time

import pytest

from hashnet_jax.distributed import processes
from tests.support.two_processes import end, start

SECONDS = 4


def run(kind, n_processes=2, victim=None):
    """Runs the program, kills a process, and returns the seconds since then and all answers."""
    started = start(
        ["-m", "tests.support.lose_a_peer"],
        lambda coordinator, i: [coordinator, n_processes, i, kind, SECONDS],
        n_processes=n_processes,
    )
    for process in started:
        while process.stdout.readline() != "connected\n":
            assert process.poll() is None, process.communicate()
    killed = time.monotonic()
    if victim is not None:
        started[victim].send_signal(signal.SIGKILL)
    answers = end(started)
    return time.monotonic() - killed, answers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n_processes", "victim"),
    [("together", 3, 1), ("busy", 2, 0)],
)
def test_the_others_report_in_one_line_which_process_was_killed(kind, n_processes, victim):
    seconds, answers = run(kind, n_processes, victim)
    assert seconds < 3 * SECONDS + 10
    for number, (status, _, errors) in enumerate(answers):
        if number != victim:
            assert errors == (
                f"lost process {victim} (killed, or no longer reachable). "
                "Continue with: the same command\n"
            )
            assert status == 1


@pytest.mark.slow
def test_a_process_that_fails_alone_shows_its_own_error_and_the_others_name_it():
    _, answers = run("fail")
    assert [status for status, _, _ in answers] == [1, 1]
    assert answers[0][2] == "process 1 has failed. Continue with: the same command\n"
    assert "a warning of native code\n" in answers[1][2]
    assert "\nValueError: a reason of its own\n" in answers[1][2]


@pytest.mark.slow
def test_any_other_abort_keeps_its_message_and_its_signal():
    _, answers = run("abort")
    assert [status for status, _, _ in answers] == [1, -signal.SIGABRT]
    assert answers[0][2].startswith("lost process 1 ")
    assert "free(): invalid pointer\n" in answers[1][2]


def test_a_port_that_is_in_use_is_named():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=f"`coordinator` cannot use port {port} on this machine"):
            processes.initialize(f"127.0.0.1:{port}", 2, 0)
