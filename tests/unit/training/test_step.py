"""One step: the loss is divided by what was counted, so how a step is divided changes nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch, Targets
from custom_bert.config import ModelConfig
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.precision import MixedPrecision
from custom_bert.presets import encoder_config
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.tasks.token_scorer import TokenCrossEntropy
from custom_bert.training.optim import (
    BETAS,
    EPS,
    full_rate,
    make_optimizer,
    parameter_groups,
    set_lr,
    share_by_depth,
)
from custom_bert.training.step import Totals, targets_of, train_step

CPU = torch.device("cpu")
LENGTHS = [3, 17, 9, 4, 12, 5, 8, 20]
LABELS = np.array([0, 1, 2, 0, 1, 0, 0, 2])


def make_model(preset: str = "custom") -> SequenceClassifier:
    torch.manual_seed(0)
    config = encoder_config(
        preset,  # type: ignore[arg-type]
        ModelConfig(hidden_dropout=0.0, num_attention_heads=2),
        vocab_size=50,
        pad_token_id=0,
        max_length=32,
        default_shape=(16, 2),
    )
    return SequenceClassifier(config, 3).double()


def microbatches(parts: list[list[int]], slot: int | None) -> list[Batch]:
    generator = np.random.Generator(np.random.PCG64(0))
    texts = [generator.integers(5, 50, size=n) for n in LENGTHS]
    return [
        Batch.build(
            [texts[i] for i in part],
            slots=max(LENGTHS[i] for i in part) if slot == 0 else slot,
            targets=LABELS[part],
        )
        for part in parts
    ]


class Recorder(torch.optim.SGD):
    """Keeps the gradients that an optimizer is asked to apply."""

    gradients: list[Tensor]

    def step(self, closure=None) -> None:  # type: ignore[no-untyped-def, override]
        groups = self.param_groups
        self.gradients = [
            p.grad / self.divisor  # type: ignore[attr-defined]
            for g in groups
            for p in g["params"]
            if p.grad is not None
        ]


def gradients(
    objective: CrossEntropy, parts: list[list[int]], slot: int | None
) -> tuple[float, list[Tensor]]:
    model = make_model()
    optimizer = Recorder(model.parameters(), lr=0.1)
    result = train_step(
        model,
        optimizer,
        microbatches(parts, slot),
        objective,
        precision=MixedPrecision("fp32", CPU),
        clip_norm=1e9,
    )
    return float(result.loss), optimizer.gradients


WEIGHTS = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)


@pytest.mark.parametrize("objective", [CrossEntropy(), CrossEntropy(WEIGHTS, 0.1)], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "parts",
    [[[0, 1, 2, 3], [4, 5, 6, 7]], [[0], [1, 2, 3, 4, 5], [6], [7]], [[i] for i in range(8)]],
    ids=["2", "4", "8"],
)
def test_accumulation_with_unequal_counts_changes_nothing(objective: CrossEntropy, parts: list) -> None:
    loss, wanted = gradients(objective, [list(range(8))], 0)
    found_loss, found = gradients(objective, parts, 0)
    assert found_loss == pytest.approx(loss, rel=1e-12)
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).norm() <= 1e-10 * max(b.norm(), 1e-12)


@pytest.mark.parametrize("slot", [None, 32], ids=["packed", "padded to 32"])
def test_the_layout_changes_nothing(slot: int | None) -> None:
    loss, wanted = gradients(CrossEntropy(), [list(range(8))], 0)
    found_loss, found = gradients(CrossEntropy(), [list(range(8))], slot)
    assert found_loss == pytest.approx(loss, rel=1e-12)
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).norm() <= 1e-10 * max(b.norm(), 1e-12)


def test_masked_tokens_are_counted_over_the_whole_step() -> None:
    def run(parts: list[list[int]]) -> list[Tensor]:
        model = MaskedLanguageModel(make_model().encoder)
        torch.manual_seed(1)
        nn.init.normal_(model.dense.weight)
        model = model.double()
        batches = [
            dataclasses.replace(b, targets=Targets(torch.tensor(part) + 5, b.layout.first_N))
            for b, part in zip(microbatches(parts, 0), parts, strict=True)
        ]
        optimizer = Recorder(model.parameters(), lr=0.1)
        train_step(
            model,
            optimizer,
            batches,
            TokenCrossEntropy(),
            precision=MixedPrecision("fp32", CPU),
            clip_norm=1e9,
        )
        return optimizer.gradients

    for a, b in zip(run([[0], [1, 2, 3, 4, 5, 6, 7]]), run([list(range(8))]), strict=True):
        assert (a - b).norm() <= 1e-10 * max(b.norm(), 1e-12)


def test_r_drop_without_dropout_is_the_plain_loss_and_with_it_adds_the_papers_divergence() -> None:
    twice = [i for i in range(8) for _ in range(2)]
    loss, wanted = gradients(CrossEntropy(WEIGHTS), [list(range(8))], 0)
    found_loss, found = gradients(CrossEntropy(WEIGHTS, r_drop=6.0), [twice], 0)
    assert found_loss == pytest.approx(loss, rel=1e-12)
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).norm() <= 1e-10 * max(b.norm(), 1e-12)

    (batch,) = microbatches([twice], 0)
    output = torch.randn(16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first, second = output[::2].softmax(-1), output[1::2].softmax(-1)
    apart = (first * (first / second).log() + second * (second / first).log()).sum(-1) / 2
    negative = -(first.log() + second.log())[range(8), LABELS]
    objective = CrossEntropy(r_drop=6.0)  # half of the paper's -log p - log q + alpha KL, a mean
    found_loss = float(objective.loss_sum(output, targets_of(batch))) / objective.weight(targets_of(batch))
    assert found_loss == pytest.approx(float((negative + 6.0 * apart).mean()) / 2, rel=1e-12)


def test_gradients_are_clipped_to_the_norm_and_cleared() -> None:
    model = make_model()
    optimizer = Recorder(model.parameters(), lr=0.1)
    result = train_step(
        model,
        optimizer,
        microbatches([[0, 1]], 0),
        CrossEntropy(),
        precision=MixedPrecision("fp32", CPU),
        clip_norm=1e-3,
    )
    clipped = torch.stack([g.norm() for g in optimizer.gradients]).norm()
    assert clipped.item() == pytest.approx(1e-3, rel=1e-3)
    assert result.grad_norm.item() > 1e-3
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("preset", ["legacy", "custom", "modern"])
def test_every_parameter_is_in_exactly_one_group_and_only_matrices_decay(preset: str) -> None:
    model = MaskedLanguageModel(make_model(preset).encoder)
    table = model.encoder.embeddings.token.weight
    names = {id(p): n for n, p in model.named_parameters()}
    for share in (full_rate, share_by_depth(len(model.encoder.layers), 0.5, 0.1)):
        groups = parameter_groups(model, 0.1, share=share)
        assert sum(len(group["params"]) for group in groups) == len(names)
        for group in groups:
            for parameter in group["params"]:
                name = names[id(parameter)]
                assert group["weight_decay"] == (
                    0.1 if parameter.dim() == 2 and "embeddings" not in name else 0
                )
                assert group["lr_factor"] == share(name)
    assert share_by_depth(2, 0.5, 0.1)("encoder.embeddings.token.weight") == 0.5**3 * 0.1
    assert share_by_depth(2, 0.5, 0.1)("encoder.embeddings.position.weight") == 0.5**3
    assert [share_by_depth(2, 0.5, 1.0)(f"encoder.layers.{i}.attn.qkv.weight") for i in (0, 1)] == [0.25, 0.5]
    assert share_by_depth(2, 0.5, 0.1)("encoder.final_norm.weight") == 1
    assert share_by_depth(2, 0.5, 0.1)("head.dense.weight") == 1
    assert any(parameter is table for group in groups for parameter in group["params"])


def test_token_vectors_learn_at_their_share_of_the_rate() -> None:
    moved = {}
    for factor in (0.0, 0.1, 1.0):
        model = make_model().float()
        share = share_by_depth(len(model.encoder.layers), 1.0, factor)
        optimizer = make_optimizer(model, lr=1.0, weight_decay=0.0, share=share)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        set_lr(optimizer, 1e-3)
        train_step(
            model,
            optimizer,
            microbatches([[0, 1, 2]], 0),
            CrossEntropy(),
            precision=MixedPrecision("fp32", CPU),
            clip_norm=1.0,
        )
        moved[factor] = {n: float((p.detach() - before[n]).abs().max()) for n, p in model.named_parameters()}
    name = "encoder.embeddings.token.weight"
    assert moved[0.0][name] == 0
    assert moved[0.1][name] == pytest.approx(0.1 * moved[1.0][name], rel=0.01)
    assert moved[0.1]["head.dense.weight"] == pytest.approx(moved[1.0]["head.dense.weight"], rel=0.01)


def test_mixed_precision_keeps_fp32_weights_and_gradients() -> None:
    model = make_model().float()
    optimizer = Recorder(model.parameters(), lr=0.1)
    precision = MixedPrecision("bf16", CPU)
    train_step(
        model, optimizer, microbatches([[0, 1, 2]], 0), CrossEntropy(), precision=precision, clip_norm=1.0
    )
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {g.dtype for g in optimizer.gradients} == {torch.float32}


def test_the_optimizer_is_torchs_bit_for_bit() -> None:
    ours, torchs = make_model().float(), make_model().float()
    groups = [
        {name: value for name, value in group.items() if name != "lr_factor"}
        for group in parameter_groups(torchs, 0.1)
    ]
    own = make_optimizer(ours, lr=0.01, weight_decay=0.1)
    theirs = torch.optim.AdamW(groups, lr=0.01, betas=BETAS, eps=EPS, fused=True)
    generator = torch.Generator().manual_seed(0)
    left_out = [*ours.parameters()][3], [*torchs.parameters()][3]
    for step in range(5):
        for a, b in zip(ours.parameters(), torchs.parameters(), strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        if step == 2:  # one that no gradient reaches
            left_out[0].grad = left_out[1].grad = None
        own.divisor = theirs.grad_scale = torch.tensor(1.5)  # type: ignore[attr-defined]
        own.skip = theirs.found_inf = torch.tensor(float(step == 3))  # type: ignore[attr-defined]
        set_lr(own, 0.01 / (1 + step))
        for group in theirs.param_groups:
            group["lr"] = 0.01 / (1 + step)
        own.step()
        theirs.step()
        own.zero_grad()
        theirs.zero_grad()
    for a, b in zip(ours.parameters(), torchs.parameters(), strict=True):
        assert torch.equal(a, b) and a.grad is None
        assert own.state[a].keys() == theirs.state[b].keys()
        assert all(torch.equal(own.state[a][name], theirs.state[b][name]) for name in own.state[a])


def test_clipping_is_torchs() -> None:
    found = []
    for clip_norm in (1e9, 0.05):
        ours, torchs = make_model(), make_model()
        optimizers = [make_optimizer(model, lr=0.01, weight_decay=0.1) for model in (ours, torchs)]
        batches = microbatches([[0, 1, 2], [3, 4, 5]], None)
        for _ in range(3):
            step = train_step(
                ours,
                optimizers[0],
                batches,
                CrossEntropy(),
                precision=MixedPrecision("fp32", CPU),
                clip_norm=clip_norm,
            )
            loss = sum(CrossEntropy().loss_sum(torchs(batch), targets_of(batch)) / 6 for batch in batches)
            assert isinstance(loss, Tensor)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(torchs.parameters(), clip_norm)
            optimizers[1].step()
            optimizers[1].zero_grad()
            assert float(step.grad_norm) == pytest.approx(float(norm), rel=1e-5)
        for a, b in zip(ours.parameters(), torchs.parameters(), strict=True):
            assert (a - b).abs().max() <= 1e-5  # torch adds 1e-6 to the norm
        found.append(torch.cat([p.detach().flatten() for p in ours.parameters()]))
    assert not torch.allclose(*found)


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_nothing(where: str, value: float) -> None:
    model = make_model()
    optimizer = make_optimizer(model, lr=0.01, weight_decay=0.1)
    options = {"precision": MixedPrecision("fp32", CPU), "clip_norm": 1.0}

    @dataclasses.dataclass(frozen=True)
    class Broken(CrossEntropy):
        def loss_sum(self, output: Tensor, batch: Batch) -> Tensor:
            loss = super().loss_sum(output, batch)
            return loss + value if where == "loss" else loss

    def steps(objective: CrossEntropy) -> Tensor:
        (batch,) = microbatches([[0, 1, 2]], None)
        return train_step(model, optimizer, [batch], objective, **options).skipped  # type: ignore[arg-type]

    assert float(steps(CrossEntropy())) == 0
    kept = [p.detach().clone() for p in model.parameters()]
    moments = {p: {k: v.clone() for k, v in s.items()} for p, s in optimizer.state.items()}
    hook = model.encoder.layers[0].mlp.up.weight.register_hook(  # type: ignore[union-attr, operator]
        lambda grad: grad.index_fill(0, torch.tensor([1]), value) if where == "gradient" else grad
    )
    assert float(steps(Broken())) == 1
    hook.remove()
    assert all(torch.equal(a, b) for a, b in zip(kept, model.parameters(), strict=True))
    for parameter, state in moments.items():
        assert all(torch.equal(optimizer.state[parameter][key], value) for key, value in state.items())
    assert float(steps(CrossEntropy())) == 0
    assert not all(torch.equal(a, b) for a, b in zip(kept, model.parameters(), strict=True))


def test_a_step_without_a_target_changes_nothing_and_is_no_fault() -> None:
    """Pretraining on texts of [CLS] and [SEP] alone has nothing to predict."""
    model = MaskedLanguageModel(make_model().encoder).double()
    optimizer = make_optimizer(model, lr=0.1, weight_decay=0.1)
    nothing = torch.zeros(0, dtype=torch.long)
    empty = [dataclasses.replace(b, targets=Targets(nothing, nothing)) for b in microbatches([[0, 1]], 0)]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = train_step(
        model, optimizer, empty, TokenCrossEntropy(), precision=MixedPrecision("fp32", CPU), clip_norm=1.0
    )
    assert found.empty and not bool(found.skipped) and not optimizer.state
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_batch_without_a_target_weighs_nothing_beside_others() -> None:
    def run(parts: list[list[int]], *, empty: bool) -> list[Tensor]:
        model = MaskedLanguageModel(make_model().encoder).double()
        torch.manual_seed(1)
        nn.init.normal_(model.dense.weight)
        first, *others = microbatches(parts, 0)
        target = torch.full((first.num_sequences,), 7)
        batches = [dataclasses.replace(first, targets=Targets(target, first.layout.first_N))]
        nothing = torch.zeros(0, dtype=torch.long)
        batches += [dataclasses.replace(b, targets=Targets(nothing, nothing)) for b in others if empty]
        optimizer = Recorder(model.parameters(), lr=0.1)
        train_step(
            model,
            optimizer,
            batches,
            TokenCrossEntropy(),
            precision=MixedPrecision("fp32", CPU),
            clip_norm=1e9,
        )
        return optimizer.gradients

    parts = [[0, 1, 2, 3], [4, 5]]
    for a, b in zip(run(parts, empty=True), run(parts, empty=False), strict=True):
        assert (a - b).norm() <= 1e-12 * max(b.norm(), 1e-12)


def test_a_step_that_is_counted_as_skipped_is_skipped_while_scaling() -> None:
    """The norm overflows though no gradient does, so that the loss scaler alone would make the step."""
    model = make_model().float()
    optimizer = make_optimizer(model, lr=0.01, weight_decay=0.1)
    precision = MixedPrecision("fp32", CPU)
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)

    @dataclasses.dataclass(frozen=True)
    class Huge(CrossEntropy):
        def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
            return super().loss_sum(output, targets) * 1e25

    kept = [p.detach().clone() for p in model.parameters()]
    batches = microbatches([[0, 1, 2]], None)
    result = train_step(model, optimizer, batches, Huge(), precision=precision, clip_norm=1.0)
    assert result.loss.isfinite() and float(result.skipped) == 1
    assert all(torch.equal(a, b) for a, b in zip(kept, model.parameters(), strict=True))
    result = train_step(model, optimizer, batches, CrossEntropy(), precision=precision, clip_norm=1.0)
    assert float(result.skipped) == 0
    assert not all(torch.equal(a, b) for a, b in zip(kept, model.parameters(), strict=True))


def test_weights_of_classes_are_on_the_device_of_what_they_weigh() -> None:
    """A step adds the weights of its texts up on the host, before it moves them."""
    weights_C = torch.tensor([1.0, 2.0, 4.0])
    targets = Targets(torch.tensor([0, 2]))
    objective = CrossEntropy(weights_C)
    assert float(objective.weight(targets)) == 5.0
    there = objective.weight(targets.to(torch.device("meta")))
    assert isinstance(there, Tensor) and there.device.type == "meta"
    assert objective.class_weights_C is weights_C


def test_totals_that_ranks_have_exchanged_are_taken() -> None:
    found = []
    for totals in (None, Totals(6.0, 100, 200)):
        model = make_model()
        optimizer = make_optimizer(model, lr=0.01, weight_decay=0.1)
        found.append(
            train_step(
                model,
                optimizer,
                microbatches([[0, 1, 2]], None),
                CrossEntropy(),
                precision=MixedPrecision("fp32", CPU),
                clip_norm=1.0,
                totals=totals,
            )
        )
    own, given = found
    assert float(given.loss) == pytest.approx(float(own.loss) / 2)
    assert (given.tokens, given.rows) == (100, 200)
