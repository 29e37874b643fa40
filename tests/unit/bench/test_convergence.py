"""What changes learning: the default recipe against the same with one switch off."""

from typing import Any

import pytest

from custom_bert.bench import convergence
from custom_bert.bench.switches import improvements
from custom_bert.data import sample


def test_the_default_recipe_is_trained_once_and_compared_with_each_switch_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []

    def trained(program: object, task: str, arguments: dict[str, Any]) -> dict[str, Any]:
        settings = arguments["settings"]
        asked.append(settings)
        if settings.get("model.norm") == "post":
            return {"accuracy": 0.0, "loss": None, "diverged": True}
        accuracy = 0.9 if settings["optim.lr"] <= 2e-3 else 0.44
        config = {"model.norm": "pre", "optim.token_dropout": 0.12, "model.hidden_act": "gelu"}
        return {"accuracy": accuracy, "loss": 1.0, "diverged": False, "config": config}

    monkeypatch.setattr(convergence, "in_child", trained)
    monkeypatch.setattr(sample, "write_sample_data", lambda folder: None)
    switched = [one for one in improvements("bf16", "dense", 0.35) if one.changes_learning]
    found = convergence.compare(switched, seeds=2, epochs=1, rates=(1e-3, 2e-3, 4e-3), say=lambda line: None)
    assert len(asked) == (1 + 3) * (2 + 3)
    assert list(found["token dropout"]) == ["0.12", "0.0"]  # what the rule takes for these texts
    assert found["pre-norm"]["pre"]["accuracy"] == [0.9, 0.9]
    assert found["pre-norm"]["pre"]["largest_rate"] == 2e-3
    assert (
        found["pre-norm"]["post"]["largest_rate"] is None and found["pre-norm"]["post"]["loss"] == [None] * 2
    )
    assert all("model.norm" not in settings or settings["model.norm"] == "post" for settings in asked)
    rows = convergence.rows_of(found)
    assert rows[1][:2] == ["pre-norm", "post"] and rows[1][3:] == ["diverged", "none of them"]
