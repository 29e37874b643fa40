"""Compares what transformers computes from an export with our model. Nothing else imports transformers."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom_bert.data.encoded import EncodedTexts
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.text_pairs import paired
from custom_bert.errors import RunError, first_line
from custom_bert.model_files.native import TrainedModel

TEXTS = 32
"""The number of texts that are compared."""

LARGEST = 1e-4
"""The largest difference of a logit that counts as rounding: both sides compute in fp32, in another order. Of
an output above 1, such as a number in a user's unit, it is the share of that output."""


def verify(folder: Path, trained: TrainedModel, auto: str, name: str) -> str:
    """Opens an export with transformers, and compares token ids and logits of random texts.

    Args:
        folder: the directory of the export.
        trained: our model.
        auto: the name of the class of transformers that opens it, such as AutoModelForMaskedLM.
        name: the name of the class that it should open as.

    Returns:
        A line that says what was compared, or why nothing was.

    Raises:
        RunError: if transformers finds tensors missing or left over, or token ids or logits differ.
    """
    if importlib.util.find_spec("transformers") is None:
        return "not verified: transformers is not installed"
    try:
        import transformers

        known = hasattr(transformers, name)
    except Exception as error:  # a broken installation raises anything
        return f"not verified: transformers cannot be imported: {first_line(error)}"
    if not known:
        return f"not verified: transformers {transformers.__version__} has no {name}"

    try:
        with _silent():
            opening: Any = getattr(transformers, auto)
            model, report = opening.from_pretrained(str(folder), output_loading_info=True)
            tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:
        raise RunError(
            f"transformers {transformers.__version__} cannot open the export: {first_line(error)}; update "
            f"it, or export where it is not installed"
        ) from error
    strange = {kind: sorted(keys) for kind, keys in report.items() if keys}
    if strange:
        raise RunError(f"transformers {transformers.__version__} does not open the export whole: {strange}")
    texts, pairs = random_texts(trained), trained.described.pairs
    # with the texts backwards as second ones, short texts meet long ones
    given = list(zip(texts, reversed(texts), strict=True)) if pairs else [(text,) for text in texts]
    encoded = trained.tokenizer.encode(
        [paired(*both) for both in given] if pairs else texts, trained.described.max_length
    )
    worst = 0.0
    with torch.inference_mode():
        for text, ids, ours in zip(given, encoded.sequences, _outputs(trained, encoded), strict=True):
            # as lists, because outside a list an empty second text counts as none
            inputs = tokenizer(*([one] for one in text), truncation=True, return_tensors="pt")
            if inputs["input_ids"][0].tolist() != ids.tolist():
                raise RunError(f"transformers {transformers.__version__} splits another way: {text[0]!r}")
            ours = trained.task.published_outputs(ours)
            difference = (model.eval()(**inputs).logits[0] - ours).abs() / ours.abs().clamp(min=1)
            worst = max(worst, float(difference.max()))
    if not worst <= LARGEST:
        raise RunError(f"transformers {transformers.__version__} computes logits that differ by {worst:.1e}")
    return (
        f"verified with transformers {transformers.__version__}: every tensor found its place; {len(texts)} "
        f"{'pairs' if pairs else 'texts'} have the same token ids, and logits within {worst:.0e}"
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps warnings and bars of transformers from users while it opens an export."""
    from transformers import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def token_pipeline(
    folder: Path, strategies: Sequence[str]
) -> Callable[[Sequence[str]], list[list[Any]]] | None:
    """Returns what runs the pipeline of transformers that finds spans; None if there is no transformers.

    It returns, for each text, the spans for each way of joining tokens. The model computes texts of similar
    length together, once for all ways, since the pipeline itself would take minutes for some thousand texts.

    Args:
        folder: the directory of an export.
        strategies: the ways, as the pipeline's `aggregation_strategy` names them.
    """
    if importlib.util.find_spec("transformers") is None:
        return None
    try:
        import transformers
        from transformers.pipelines.token_classification import AggregationStrategy

        make: Any = transformers.pipeline
    except Exception:  # a broken installation raises anything; `verify` has said so
        return None
    ways = [AggregationStrategy(name) for name in strategies]
    with _silent():
        found = make("token-classification", model=str(folder), device="cpu")

    def run(texts: Sequence[str]) -> list[list[Any]]:
        answers: list[list[Any]] = [[[] for _ in ways] for _ in texts]
        order = [i for i in sorted(range(len(texts)), key=lambda i: len(texts[i])) if texts[i].strip()]
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # that a vocabulary knows no whole words, for each text
            for start in range(0, len(order), TEXTS):
                rows = order[start : start + TEXTS]
                for row, output in zip(rows, _pipeline_outputs(found, [texts[i] for i in rows]), strict=True):
                    answers[row] = [found.postprocess([output], way) for way in ways]
        return answers

    return run


def _pipeline_outputs(found: Any, texts: list[str]) -> Iterator[dict[str, Any]]:
    """Yields for each text what its pipeline makes spans of."""
    asked = {"return_special_tokens_mask": True, "return_offsets_mapping": True}
    inputs = found.tokenizer(texts, return_tensors="pt", truncation=True, padding=True, **asked)
    others = {name: inputs.pop(name) for name in ("special_tokens_mask", "offset_mapping")}
    given = {**others, "input_ids": inputs["input_ids"], "logits": found.model(**inputs).logits}
    for i, (text, length) in enumerate(zip(texts, inputs["attention_mask"].sum(1).tolist(), strict=True)):
        yield {
            "sentence": text,
            "is_last": True,
            **{name: one[i : i + 1, :length] for name, one in given.items()},
        }


def _outputs(trained: TrainedModel, encoded: EncodedTexts) -> Sequence[Tensor]:
    """Returns every output of our model for each text: (C,) logits of classes, or (length, V) of tokens."""
    rows = np.arange(len(encoded.sequences))
    builder = BatchBuilder(encoded, rows, None, trained.tokenizer.pad_id)
    batch = trained.task.every_output(builder.build(rows, "packed", trained.described.max_length))
    return trained.task.split_outputs(trained.model(batch), encoded.lengths_N.tolist())


def random_texts(trained: TrainedModel) -> list[str]:
    """Returns texts of random words of the vocabulary, the same at every call.

    Their lengths go from none to more words than the model reads, so that truncation is compared too.
    """
    generator = np.random.Generator(np.random.PCG64(0))
    backend, known = trained.tokenizer.backend, trained.tokenizer.ids
    longest = trained.described.max_length + 8
    counts = [0, 1, 2, longest, *generator.integers(3, 40, size=TEXTS - 4).tolist()]
    return [backend.decode(known[generator.integers(0, len(known), size=count)].tolist()) for count in counts]
