"""Requests to end: noted, obeyed where a run can be continued; the second ends at once."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from custom_bert import signals

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_is_noted_and_obeyed(number: signal.Signals) -> None:
    before = signal.signal(number, signal.default_int_handler)
    try:
        with signals.noted() as requests:
            assert list(requests.between([1, 2])) == [1, 2]
            os.kill(os.getpid(), number)
            with pytest.raises(signals.StopRequested):
                list(requests.between([1, 2]))
        assert signal.getsignal(number) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as caught:
            requests.obey()
        if number == signal.SIGTERM:
            assert caught.value.code == 143  # type: ignore[attr-defined]
    finally:
        signal.signal(number, before)


def test_a_request_that_another_process_noted_comes_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor ends all processes, this one a moment after the others have told of it."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with signals.noted() as requests:
            with pytest.raises(signals.StopRequested):
                list(requests.between([1], lambda number, item: signal.SIGTERM))
            os.kill(os.getpid(), signal.SIGTERM)
            assert requests.number == signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_request_that_comes_while_processes_agree_is_obeyed_before_the_next_item() -> None:
    """Ranks wait for each other in the agreement, so that most requests come there."""
    requests, asked = signals.Requests(), list[int]()

    def agreed(number: int, item: int) -> int:
        asked.append(number)
        if len(asked) == 2:
            requests.note(signal.SIGTERM)  # too late for this agreement, in which all ranks go on
        return number

    items = requests.between([1, 2, 3], agreed)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(signals.StopRequested):
        next(items)
    assert asked == [0, 0, signal.SIGTERM] and requests.number == signal.SIGTERM


def test_a_second_request_ends_at_once() -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from custom_bert import signals\n"
        "with signals.noted() as requests:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print(requests.number, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(30)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=20)
    assert done.returncode == 143 and done.stdout == "2\n"


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.noted() as requests:
            os.kill(os.getpid(), signal.SIGINT)
            assert not requests.number
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_note_nothing() -> None:
    found = []

    def work() -> None:
        with signals.noted() as requests:
            found.append(requests.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0]


def test_a_second_ctrl_c_interrupts_what_runs() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), signals.noted() as requests:
            os.kill(os.getpid(), signal.SIGINT)
            assert requests.number == signal.SIGINT
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
