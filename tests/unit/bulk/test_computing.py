"""Shards are computed with one thread, whatever the process has otherwise."""

from __future__ import annotations

import os

import pytest
import torch

from custom_bert.bulk.computing import one_thread
from custom_bert.threads import LIMIT, WISH, thread_count


def test_one_thread_computes_and_the_others_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WISH, "3")
    monkeypatch.delenv(LIMIT, raising=False)
    torch.set_num_threads(2)
    with pytest.raises(KeyError), one_thread():
        assert torch.get_num_threads() == thread_count() == 1
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")  # under torchrun the wish alone does not count
        assert thread_count() == 1
        raise KeyError
    assert torch.get_num_threads() == 2
    assert os.environ[WISH] == "3" and LIMIT not in os.environ
