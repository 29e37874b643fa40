"""The rules are good for 500 to 5,000,000 lines: monotonic, bounded, and with a reason."""

import itertools

import pytest

from custom_bert.config import ModelConfig
from custom_bert.presets import EncoderConfig, encoder_config
from custom_bert.rules import choices, evaluations


def of_width(hidden_size: int) -> EncoderConfig:
    return encoder_config(
        "custom",
        ModelConfig(hidden_size=hidden_size, num_hidden_layers=2),
        vocab_size=16_000,
        pad_token_id=0,
        max_length=256,
        default_shape=(0, 0),
    )


TOKENS = [500 * 10, 10_000, 80_000, 600_000, 3_000_000, 25_000_000, 100_000_000, 5_000_000 * 50]


def test_more_data_means_fewer_epochs_but_never_fewer_steps() -> None:
    epochs = [choices.epochs(tokens)[0] for tokens in TOKENS]
    assert epochs == sorted(epochs, reverse=True) and epochs[-1] >= 1
    steps = [e * t // choices.token_budget(t)[0] for e, t in zip(epochs, TOKENS, strict=True)]
    assert min(steps) >= 100
    assert all(later >= 0.4 * earlier for earlier, later in itertools.pairwise(steps))


def test_leaving_tokens_out_means_more_passes_of_as_many_tokens() -> None:
    for tokens in (600_000, 1_500_000):
        whole, half = choices.epochs(tokens)[0], choices.epochs(tokens, token_dropout=0.5)
        assert half[0] == pytest.approx(2 * whole, abs=1) and "50% left out" in half[1]
    assert choices.epochs(80_000, token_dropout=0.1)[0] == 15


def test_more_data_means_larger_batches_models_and_vocabularies() -> None:
    for rule in (choices.token_budget, choices.shape, choices.vocab_size):
        values = [rule(tokens)[0] for tokens in TOKENS]
        assert values == sorted(values)


def test_fine_tuning_takes_about_32_texts_a_batch_and_never_too_few_batches() -> None:
    for mean, budget in ((3, 256), (12, 384), (50, 1600), (250, 8000), (2000, 8192)):
        assert choices.finetune_token_budget(mean)[0] == budget
    assert choices.finetune_token_budget(250, fitting=1024)[0] == 1024
    assert [choices.finetune_accumulation(rows) for rows in (256, 2048, 2049, 8000)] == [1, 1, 2, 4]
    found = [choices.finetune_epochs(12 * texts, texts=texts)[0] for texts in (50, 500, 5_000, 500_000)]
    assert found == [20, 13, 3, 2]


@pytest.mark.parametrize("rule", [choices.epochs, choices.token_budget, choices.shape, choices.vocab_size])
def test_every_rule_gives_its_reason(rule) -> None:  # type: ignore[no-untyped-def]
    assert "80,000" in rule(80_000)[1]


def test_wider_models_take_smaller_steps() -> None:
    for pretrained in (True, False):
        rates = [choices.learning_rate(width, after_pretraining=pretrained)[0] for width in (128, 256, 768)]
        assert rates == sorted(rates, reverse=True) and len(set(rates)) == 3
    assert (
        choices.learning_rate(256, after_pretraining=True)[0]
        < choices.learning_rate(256, after_pretraining=False)[0]
    )
    for pretrained in (True, False):
        narrow, wide = (
            choices.pretrain_learning_rate(width, pretrained=pretrained)[0] for width in (128, 768)
        )
        assert narrow > wide
    assert choices.pretrain_learning_rate(256, pretrained=True)[0] == choices.finetune_learning_rate(256)[0]


def test_huge_data_needs_no_pretraining() -> None:
    found = [choices.pretrain_epochs(tokens)[0] for tokens in TOKENS]
    assert found == sorted(found, reverse=True) and found[0] == 30 and found[-1] == 0


def test_a_step_never_takes_more_than_its_share_of_memory() -> None:
    assert choices.token_budget(10**9, fitting=1 << 20)[0] == 8192
    budget, reason = choices.token_budget(10**9, fitting=2048)
    assert budget == 2048 and "memory" in reason
    found = [choices.fitting_rows(100_000, memory) for memory in (1 << 20, 1 << 28, 1 << 30, 1 << 35)]
    assert found == sorted(found) and found[0] == 64
    assert all(
        rows * 100_000 <= 0.25 * m for rows, m in zip(found[1:], (1 << 28, 1 << 30, 1 << 35), strict=True)
    )
    wide, narrow = (of_width(hidden_size=d).bytes_per_row for d in (768, 256))
    assert wide > narrow


def test_long_texts_lose_a_larger_share_of_their_tokens() -> None:
    found = [choices.token_dropout(mean) for mean in (3, 16, 32, 48, 512)]
    assert [rate for rate, _ in found] == [0.1, 0.1, 0.2, 0.3, 0.5]
    assert "32 tokens" in found[2][1]


def test_r_drop_is_for_small_data_and_needs_dropout() -> None:
    found = [choices.r_drop(tokens, dropout=0.1)[0] for tokens in TOKENS]
    assert found == sorted(found, reverse=True) and found[0] > 0 and found[-1] == 0
    assert choices.r_drop(TOKENS[0], dropout=0.0)[0] == 0


def test_evaluations_are_at_most_about_twenty() -> None:
    for steps, epochs in ((30, 30), (500, 12), (5000, 1), (1, 1), (40, 2)):
        every, _ = evaluations.eval_every(
            steps,
            epochs,
            pretrained=False,
            training_tokens=1_000_000,
            validation_tokens=100,
            validation_texts=10,
        )
        assert every >= 1 and steps * epochs / every <= 21


def test_a_third_of_the_layers_keep_their_weights_up_to_a_million_tokens() -> None:
    found = [choices.freeze_layers(layers, tokens=1_000_000)[0] for layers in (1, 2, 3, 6, 12)]
    assert found == [0, 0, 1, 2, 4]
    value, reason = choices.freeze_layers(6, tokens=1_000_001)
    assert value == 0 and reason == "1,000,001 training tokens"


def test_a_fine_tuned_encoder_is_evaluated_each_epoch_but_once_where_texts_are_too_few_to_choose_by() -> None:
    given = {"pretrained": True, "training_tokens": 10**6, "validation_tokens": 100}
    assert evaluations.eval_every(100, 3, validation_texts=50, **given)[0] == 100  # type: ignore[arg-type]
    assert evaluations.eval_every(100, 1, validation_texts=50, **given)[0] == 50  # type: ignore[arg-type]
    every, reason = evaluations.eval_every(100, 3, validation_texts=49, **given)  # type: ignore[arg-type]
    assert every == 300 and reason == "49 validation texts are too few to choose the best step by"
    found, _ = evaluations.evaluations_in_time(3, validation_texts=49, share=0.2, **given)  # type: ignore[arg-type]
    assert found.interval == 1


def test_large_validation_sets_are_read_less_often() -> None:
    found = {
        tokens: evaluations.eval_every(
            500,
            2,
            pretrained=False,
            training_tokens=1_000_000,
            validation_tokens=tokens,
            validation_texts=10,
        )
        for tokens in (0, 100_000, 200_000, 1_000_000)
    }
    assert [every for every, _ in found.values()] == [100, 100, 167, 250]
    assert "1,000,000" in found[1_000_000][1]
    every, _ = evaluations.eval_every(
        500, 3, pretrained=True, training_tokens=10**6, validation_tokens=10**7, validation_texts=10**5
    )
    assert every == 500  # what costs more than its share does not become more


def test_evaluations_by_time_are_as_many_and_wait_for_as_long_as_one_may_take() -> None:
    found, reason = evaluations.evaluations_in_time(
        1000,
        pretrained=False,
        training_tokens=3_000,
        validation_tokens=9_000,
        validation_texts=10,
        share=0.2,
    )
    assert found.every is None and found.interval == 1 / 20
    # an evaluation costs as much as a pass, and may take a fifth of the time
    assert found.pause == pytest.approx(4) and found.passes == pytest.approx(4)
    assert "20 evaluations" in reason and "20%" in reason
    few, _ = evaluations.evaluations_in_time(
        3, pretrained=True, training_tokens=3_000, validation_tokens=9, validation_texts=100, share=0.2
    )
    assert few.interval == 1 / 3


def test_a_gpu_takes_larger_steps_of_much_data_and_the_same_of_little() -> None:
    """A step of a small encoder costs a GPU less than it costs the host."""
    for tokens in (5_000, 600_000, 3_000_000):
        assert choices.token_budget(tokens, device="cuda") == choices.token_budget(tokens)
    wanted = {100_000_000: 32_768, 2_000_000_000: 131_072}
    for tokens, rows in wanted.items():
        assert choices.token_budget(tokens, device="cuda")[0] == rows
        assert choices.token_budget(tokens)[0] == 8192
    assert choices.token_budget(2_000_000_000, device="cuda", fitting=16_384)[0] == 16_384
