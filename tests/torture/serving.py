"""S1 and S2: hostile requests against a server in a process of its own, and ends under load."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

from hostile_requests import code_of, hostile
from serve_process import Load, Process, serving
from served import until
from training_runs import settings, write_data

from custom_bert import train_model
from custom_bert.server.limits import Limits
from custom_bert.training.log import Reporter
from torture.experiment import Experiment, Trial

TOKEN = "a1b2c3d4e5f6a7b8c9d0"
REQUESTS = 1_000
"""Hostile requests of a trial."""

SETTLED = 300
"""Requests after which memory is looked at first: until then, every way is taken for the first time."""

GROWTH = 24 << 20
"""Bytes by which the memory may grow over the rest of a trial."""


def prepare_run(shared: Path) -> None:
    """A tiny trained run."""
    data = write_data(shared / "data")
    train_model(settings(data, shared / "run"), reporter=Reporter(silent=True))


def assaulted(trial: Trial) -> None:
    """Sends hostile requests, and asks in between as a friend does."""
    with serving(trial.shared / "run", token=TOKEN) as server:
        settled = 0
        for number in range(REQUESTS):
            one = hostile(trial.random, Limits(), TOKEN)
            client = server.client()
            one.act(client)
            if one.codes:
                code = code_of(client)
                assert code in one.codes, (number, one.name, code)
                trial.note(f"code {code}" if code else "closed")
            else:
                trial.note("gone")
            client.close()
            if number % 50 == 0:
                friend(server)
            if number == SETTLED:
                settled = server.memory()
        grown = server.memory() - settled
        assert grown < GROWTH, f"the memory grew by {grown >> 20} MB"
        code, _, err = server.end()
        assert (code, err) == (0, "")


def friend(server: Process) -> None:
    """Asks for something, and gets it."""
    answer = server.ask("/predict", {"text": "the cat sleeps"}, Authorization=f"Bearer {TOKEN}")
    assert answer.json["predictions"][0]["label"] == "animals"


def ended_under_load(trial: Trial) -> None:
    """Sends SIGTERM or SIGINT while clients ask, and compares what both sides counted."""
    clients = int(trial.random.integers(1, 33))
    with serving(trial.shared / "run") as server:
        load = Load(server, clients)
        load.start()
        until(lambda: load.answered > 0)
        time.sleep(float(trial.random.uniform(0.05, 0.8)))
        number = signal.SIGTERM if trial.number % 2 else signal.SIGINT
        code, out, err = server.end(number)
        load.join()
    assert (code, err) == (0, ""), (code, err)
    found = re.search(r"ended: ([\d,]+) of ([\d,]+) accepted requests were answered\n$", out)
    assert found and found[1] == found[2], out
    accepted = int(found[2].replace(",", ""))
    assert accepted == load.answered, f"{accepted} were accepted and {load.answered} answers arrived"
    assert load.wrong == 0 and set(load.codes) <= {200, 503}, load.codes
    for _ in range(accepted):
        trial.note("answers")


EXPERIMENTS = (
    Experiment(
        "S1",
        "1,000 hostile requests each: right codes, memory within 24 MB, others are answered",
        0,
        10,
        prepare_run,
        assaulted,
    ),
    Experiment(
        "S2",
        "SIGTERM and SIGINT under load: exit code 0, and every accepted request's answer arrives",
        0,
        50,
        prepare_run,
        ended_under_load,
    ),
)
