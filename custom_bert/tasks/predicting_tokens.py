"""How hidden tokens are predicted: as a task of its own, or as the first phase of another task, on its
texts."""

from __future__ import annotations

from custom_bert.data.loader import Transform
from custom_bert.data.masking import Masker
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.rules import choices
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.parts import Learning
from custom_bert.tasks.token_scorer import TokenCrossEntropy

PRETRAIN_SEED = 1
"""Added to a run's seed where language modelling precedes another task, so that the two phases see the texts
in different orders."""


def masker(config: ResolvedConfig, tokenizer: TextTokenizer, seed: int) -> Masker:
    """Returns what hides tokens as the settings say: never special tokens, and whole words if asked for."""
    assert tokenizer.mask_id is not None, "settings that mask are refused without a mask token"
    return Masker(
        tokenizer.mask_id,
        (*tokenizer.special_ids, *tokenizer.unused_ids),
        tokenizer.vocab_size,
        config.optim.mask_rate,
        seed,
        tokenizer.continues_V if config.optim.whole_words else None,
    )


def predicting_tokens(
    config: ResolvedConfig, tokenizer: TextTokenizer, *, lr: float, epochs: int, seed: int, evaluates: bool
) -> Learning:
    """Returns how a phase learns that predicts hidden tokens.

    It learns without dropout, as Geiping and Goldstein 2022 (arXiv 2212.14034) advise for short pretraining:
    masking is noise enough.

    Args:
        config: the settings.
        tokenizer: the tokenizer of the texts.
        lr: the peak learning rate.
        epochs: the number of passes over the texts.
        seed: decides the order of the batches, and which tokens are hidden.
        evaluates: whether evaluations choose the weights that the run keeps.
    """
    return Learning(
        objective=TokenCrossEntropy(),
        transform=Transform(masker=masker(config, tokenizer, seed)),
        lr=lr,
        epochs=epochs,
        seed=seed,
        dropout=False,
        evaluates=evaluates,
    )


def before_the_task(config: ResolvedConfig, tokenizer: TextTokenizer) -> Learning:
    """Returns how language modelling learns where it is the first phase of another task, on its texts."""
    return predicting_tokens(
        config,
        tokenizer,
        lr=choices.pretrain_learning_rate(config.model.hidden_size, pretrained=config.model.is_pretrained)[0],
        epochs=config.optim.pretrain_epochs,
        seed=config.seed + PRETRAIN_SEED,
        evaluates=False,
    )
