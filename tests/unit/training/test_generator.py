"""While a run trains, only dropout draws from torch's global generator, so a continued run goes on
exactly."""

from pathlib import Path

import pytest
import torch
from training_runs import built, ready, settings, write_data

from custom_bert.training.evaluation import evaluation_batches, measure
from custom_bert.training.phases import steps_of
from custom_bert.training.ranks import Ranks


@pytest.mark.parametrize("changes", [{"optim.token_dropout": 0.3}, {"optim.pretrain_epochs": 1}])
def test_building_batches_and_evaluating_draw_nothing(tmp_path: Path, changes: dict[str, object]) -> None:
    one = ready(settings(write_data(tmp_path / "data"), tmp_path / "run", **changes))
    state = built(one)
    before = torch.get_rng_state()
    steps = sum(1 for _ in steps_of(state.phase, 0, 0))
    state.model.eval()
    measure(state.model, evaluation_batches(one.val, one.plan, one.material, Ranks()), one.plan, Ranks())
    assert steps > 5
    assert torch.equal(torch.get_rng_state(), before)
