"""What is decided before training leaves the process as it was, and is tried as training will compute."""

import pytest
import torch

from custom_bert.config import TrainConfig, replace
from custom_bert.rules.decisions import Decisions
from custom_bert.tasks.registry import TASKS
from custom_bert.training import decisions, identity
from custom_bert.training.prepare import Draft


@pytest.mark.parametrize("continues", [False, True], ids=["begins", "continues"])
def test_bf16_is_tried_with_the_threads_that_will_train_and_the_caller_keeps_its_own(
    continues: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one thread every product is right; with several OpenMP may give fewer than torch counts on."""
    tried = []

    def sound(precision: str, device: torch.device) -> tuple[str, None]:
        tried.append(torch.get_num_threads())
        return precision, None

    config = replace(
        TrainConfig(),
        {
            "data.max_length": 32,
            "batch.plan": "uniform_length",
            "runtime.device": "cpu",
            "runtime.precision": "fp32" if continues else "bf16",
            "runtime.threads": 2,
        },
    )
    todo = Decisions(config, config)
    before = torch.get_num_threads()
    assert before == 1
    if continues:
        draft = Draft(todo, None, torch.device("cpu"), TASKS["classification"].blank())  # type: ignore[arg-type]
        monkeypatch.setattr(identity, "sound_precision", sound)
        identity.keep_as_begun(draft, {"config": {"runtime.precision": "bf16"}}, lambda line: None)
        assert todo.config.runtime.precision == "bf16"
    else:
        monkeypatch.setattr(decisions, "sound_precision", sound)
        decisions.decide_machine(todo)
    assert tried == [2] and torch.get_num_threads() == before
