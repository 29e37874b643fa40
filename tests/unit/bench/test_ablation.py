"""The ablation compares what it says it compares, and its proofs can fail."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from custom_bert import precision
from custom_bert.bench import ablation, recipes, speed
from custom_bert.bench.commands import Ablation
from custom_bert.bench.equality import prove
from custom_bert.bench.switches import LEGACY, improvements
from custom_bert.bench.workloads import AG_NEWS, LENGTHS, SyntheticTexts
from custom_bert.cli import main
from custom_bert.config import TrainConfig, to_flat
from custom_bert.options.option import options_of
from custom_bert.rules.choices import token_dropout

SWITCHED = improvements("bf16", "dense", 0.33)


def test_every_row_differs_from_its_base_by_its_own_switch_alone() -> None:
    rows = recipes.rows_for(SWITCHED, AG_NEWS)
    fields = {one.name: one.field for one in SWITCHED}
    needed = recipes.recipes(rows, SWITCHED)
    for row in rows:
        base = needed[row.base]
        changed = {name for name in vars(base) if getattr(base, name) != getattr(row.switches, name)}
        if row.part in ("alone", "removed"):
            assert changed == {fields[row.name]}, row
            assert getattr(row.switches, fields[row.name]) in {one.on for one in SWITCHED}
    assert {row.name for row in rows if row.part == "alone"} == set(fields)
    ladder = [row.switches for row in rows if row.part == "ladder"]
    assert ladder[-1] == recipes.custom_recipe(SWITCHED)
    for before, after in zip([LEGACY, *ladder], ladder, strict=False):
        assert sum(getattr(before, n) != getattr(after, n) for n in vars(before)) <= 1


@pytest.mark.parametrize("workload", [AG_NEWS, *LENGTHS], ids=lambda w: w.name)
@pytest.mark.parametrize("half", [True, False])
def test_custom_has_the_attention_that_the_defaults_take(
    half: bool, workload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_cpu_bf16", lambda: half)
    switched = [replace(one, in_custom=half or one.field != "precision") for one in SWITCHED]
    here = recipes.at_lengths(switched, workload, "cpu")
    rule = "matmul" if half and workload.max_length <= 512 else "dense"
    assert recipes.custom_recipe(here).attention == rule
    names = [one.name for one in here if one.field == "attention"]
    assert names == ["flash attention", "attention by rule: matmul"][: 1 + (rule == "matmul")]
    rows = {(row.part, row.name): row for row in recipes.rows_for(here, workload)}
    for name, kernel in zip(names, ("dense", rule), strict=False):
        assert rows["removed", name].switches.attention == kernel
        assert rows["removed", name].base == recipes.key_of(
            replace(recipes.custom_recipe(here), attention="naive")
        )
    assert ("ladder", "+ flash attention") not in rows or rule == "dense"


def test_every_improvement_names_a_setting_of_the_configuration() -> None:
    assert {one.setting for one in SWITCHED} <= to_flat(TrainConfig()).keys()


def test_what_the_hardware_has_not_is_off_the_ladder() -> None:
    switched = [replace(one, in_custom=one.field != "precision") for one in SWITCHED]
    rows = recipes.rows_for(switched, AG_NEWS)
    parts = {row.part for row in rows if "mixed precision" in row.name}
    assert parts == {"alone", "removed"} and recipes.custom_recipe(switched).precision == "fp32"


@pytest.mark.parametrize("one", [o for o in SWITCHED if o.field != "compile"], ids=lambda o: o.field)
def test_proofs_hold(one: Any) -> None:
    proof = prove(one, "cpu")
    assert (proof is None) == (one.field in ("hidden_act", "norm", "token_dropout"))
    assert proof is None or proof.holds


def test_a_wrong_kernel_does_not_pass_its_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.ops import kernels

    monkeypatch.setattr(kernels, "dense", lambda q, k, v, *rest: 1.001 * kernels.naive(q, k, v, *rest))
    (flash,) = [one for one in SWITCHED if one.field == "attention"]
    proof = prove(flash, "cpu")
    assert proof is not None and not proof.holds


def test_gradients_that_are_not_finite_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.ops import kernels

    monkeypatch.setattr(kernels, "dense", lambda qkv, *rest: qkv[:, 2] * float("nan"))
    (flash,) = [one for one in SWITCHED if one.field == "attention"]
    proof = prove(flash, "cpu")
    assert proof is not None and not proof.holds


def test_workloads_have_the_lengths_that_they_state() -> None:
    lengths = AG_NEWS.lengths(20_000)
    assert lengths.mean() == pytest.approx(AG_NEWS.tokens / AG_NEWS.examples, rel=0.03)
    assert lengths.max() <= AG_NEWS.max_length and lengths.min() >= 3
    for workload in LENGTHS:
        assert set(workload.lengths(5).tolist()) == {workload.max_length} and workload.tokens == 8192
    texts = SyntheticTexts(np.array([3, 9]), 100)
    assert len(texts[1]) == 9 and (texts[1] == texts[1]).all() and texts[1].max() < 100


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("plan", ["padded", "uniform_length", "packed"])
def test_every_plan_has_about_the_same_texts_in_a_step(plan: Any, rate: float) -> None:
    switches = replace(LEGACY, plan=plan, token_dropout=rate)
    texts = speed.texts_of(AG_NEWS)
    found, read, whole = [], 0, 0
    for batch in speed.batches(switches, texts, AG_NEWS, pin_memory=False):
        found.append(batch.num_sequences)
        read, whole = read + batch.num_tokens, whole + int(texts.lengths_N[batch.indices].sum())
        if len(found) == 60:
            break
    assert np.mean(found) == pytest.approx(AG_NEWS.examples, rel=0.1)
    assert read / whole == pytest.approx(1 - rate, abs=0.05)


def test_a_recipe_that_does_not_fit_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> dict[str, Any]:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried"
        )

    monkeypatch.setattr(speed, "_train", fails)
    monkeypatch.setattr(speed, "limit_memory", lambda: None)  # it would stay
    assert "can't allocate" in speed.train_some_steps({"device": "cpu"})["out_of_memory"]


def test_the_record_the_table_and_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command with measured numbers in place of measurements."""
    monkeypatch.setattr(ablation, "available", lambda device: (list(SWITCHED), ["a note"]))
    monkeypatch.setattr(ablation, "prove", lambda one, device: None)
    monkeypatch.setattr(ablation.convergence, "compare", lambda *a, **k: {})

    def measured(switches: Any, workload: Any, **_: Any) -> dict[str, Any] | None:
        if workload.max_length == 8192 and switches.attention == "naive":
            return None
        fast = 4.0 if switches.plan == "uniform_length" else 1.0
        return {"tokens_per_second": 100 * fast, "step_mb": 50 / fast}

    monkeypatch.setattr(ablation, "measure", measured)
    out = tmp_path / "record.json"
    ablation.run(
        device="cpu", quick=False, size=None, repeats=3, out=out, command="bench", say=lambda line: None
    )
    record = json.loads(out.read_text())
    by_id = {entry["id"]: entry for entry in record["results"]}
    batching = by_id["AG News lengths: alone: uniform-length batching"]
    assert (batching["ratio_median"], batching["repeats"]) == (4.0, 3)
    assert batching["memory"]["median"] == 0.25
    table = out.with_suffix(".md").read_text()
    assert "does not fit into memory" in table and "4.00 (4.00 to 4.00)" in table and "a note" in table
    picture = out.with_suffix(".svg").read_text()
    assert picture.startswith("<svg") and "uniform-length batching" in picture and "4.00" in picture


def test_the_parts_are_those_that_the_command_offers() -> None:
    (only,) = [option for option in options_of(Ablation) if option.name == "only"]
    assert only.read(ablation.PARTS) == ablation.PARTS and only.values == "speed | lengths | learning ..."


@pytest.mark.parametrize("parts", [("speed",), ("lengths",), ("learning",)])
def test_parts_can_be_measured_apart(parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()

    def measured(switches: Any, workload: Any, **_: Any) -> dict[str, Any]:
        asked.add("speed" if workload is AG_NEWS else "lengths")
        return {"tokens_per_second": 1.0, "step_mb": 1.0}

    def compared(*_: Any, **__: Any) -> dict[str, Any]:
        asked.add("learning")
        return {}

    monkeypatch.setattr(ablation, "available", lambda device: (list(SWITCHED), []))
    monkeypatch.setattr(ablation, "prove", lambda one, device: None)
    monkeypatch.setattr(ablation, "measure", measured)
    monkeypatch.setattr(ablation.convergence, "compare", compared)
    out = tmp_path / "record.json"
    ablation.run(
        device="cpu",
        quick=False,
        size=None,
        repeats=1,
        parts=parts,
        out=out,
        command="bench",
        say=lambda line: None,
    )
    assert asked == set(parts) and out.exists()
    assert out.with_suffix(".svg").exists() == ("speed" in parts), "no picture of nothing"


def test_a_record_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.json").write_text("{}")
    assert main(["bench", "ablation", "--device", "cpu", "--out", str(tmp_path / "mine")]) == 64
    told = f"{tmp_path}/mine.json: exists already and is not overwritten; choose another --out"
    assert capsys.readouterr().err == f"error: {told}\n"
    assert (tmp_path / "mine.json").read_text() == "{}"


@pytest.mark.parametrize("end", ["md", "svg"])
def test_neither_is_a_page_or_a_picture_beside_it(
    tmp_path: Path, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"README.{end}").write_text("mine")
    assert main(["bench", "roofline", "--device", "cpu", "--out", str(tmp_path / "README")]) == 64
    assert f"README.{end}: exists already" in capsys.readouterr().err
    assert (tmp_path / f"README.{end}").read_text() == "mine"


def test_token_dropout_is_what_the_rule_takes_for_the_lengths() -> None:
    switched = improvements("bf16", "dense", 0.123)
    rates = [
        next(one.on for one in recipes.at_lengths(switched, workload, "cpu") if one.field == "token_dropout")
        for workload in (AG_NEWS, LENGTHS[0])
    ]
    assert rates == [token_dropout(AG_NEWS.mean_tokens)[0], 0.5] and rates[0] < 0.5


def test_one_recipe_is_measured_in_a_process_of_its_own() -> None:
    torch.set_num_threads(1)
    found = speed.measure(
        replace(LEGACY, plan="uniform_length"), AG_NEWS, device="cpu", size="tiny", warm_steps=1, seconds=0
    )
    assert found is not None and found["steps"] == 2 and found["tokens_per_second"] > 0
    assert 0 <= found["padding"] < 0.05 and found["step_mb"] > 0 and found["peak_mb"] > found["step_mb"]
