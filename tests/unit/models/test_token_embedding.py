"""Training the rows in use only learns what training the whole table learns, which all others see."""

import copy

import pytest
import torch
from torch import nn

from custom_bert.models.token_embedding import TokenEmbedding
from custom_bert.training.optim import make_optimizer, share_by_depth

IDS = torch.tensor([[2, 9, 4], [4, 4, 11]])
IN_USE = torch.tensor([2, 4, 9, 11, 30])


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.out = TokenEmbedding(40, 8), nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.out(self.table(ids).mean(1))
        return logits


def trained(model: Model, steps: int) -> Model:
    optimizer = make_optimizer(model, lr=0.05, weight_decay=0.1)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(IDS), torch.tensor([0, 2]))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    return model


def confined() -> Model:
    model = Model()
    model.table.train_only(IN_USE)
    return model


def test_the_whole_model_learns_what_it_would_learn_with_the_whole_table() -> None:
    whole, part = trained(Model(), 20).state_dict(), trained(confined(), 20).state_dict()
    assert whole.keys() == part.keys()
    for name in whole:
        assert torch.allclose(whole[name], part[name], atol=1e-6, rtol=0), name
    moved = (part["table.weight"] != Model().table.weight).any(1)
    assert moved.nonzero().flatten().tolist() == [2, 4, 9, 11]


def test_evaluation_reads_the_vectors_that_were_trained_and_all_others() -> None:
    model = trained(confined(), 3)
    while_training = model(IDS)
    model.eval()
    assert torch.equal(model(IDS), while_training)
    assert model(torch.tensor([[0, 39]])).isfinite().all()
    assert torch.equal(copy.deepcopy(model)(IDS), while_training)


def test_a_token_that_was_not_announced_is_refused_in_training() -> None:
    with pytest.raises(IndexError):
        confined()(torch.tensor([[3]]))


def test_weights_that_are_put_back_are_trained_on_and_not_overwritten() -> None:
    model = trained(confined(), 2)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained(model, 2)
    model.load_state_dict(kept)
    model.eval()  # brings the table up to date with the rows: which must be the kept ones
    assert torch.equal(model.state_dict()["table.weight"], kept["table.weight"])
    model.train()
    assert torch.equal(model(IDS), holding(kept)(IDS))


def holding(state: dict[str, torch.Tensor]) -> Model:
    model = Model()
    model.load_state_dict(state)
    return model


def test_the_rows_have_the_tables_share_of_the_rate_and_do_not_decay() -> None:
    share = share_by_depth(2, 0.9, 0.5)
    assert share("encoder.embeddings.token.rows") == share("encoder.embeddings.token.weight") == 0.9**3 * 0.5
    groups = make_optimizer(confined(), lr=0.1, weight_decay=0.1).param_groups
    decaying = {tuple(p.shape) for group in groups if group["weight_decay"] for p in group["params"]}
    covered = {tuple(p.shape) for group in groups for p in group["params"]}
    assert decaying == {(3, 8)} and (5, 8) in covered and (40, 8) not in covered
