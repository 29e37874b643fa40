"""The model as the peers compute it: transformers, a batch of texts padded to the longest one."""

from __future__ import annotations

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Model:
    """An exported classifier.

    Args:
        directory: what `custom-bert export` wrote.
        max_length: the number of tokens that are kept of a text.
    """

    def __init__(self, directory: str, max_length: int) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(directory)
        self._model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
        self._max_length = max_length

    def predict(self, texts: list[str]) -> list[dict[str, object]]:
        """Returns label and probability of each text."""
        with torch.inference_mode():
            batch = self._tokenizer(
                texts, padding=True, truncation=True, max_length=self._max_length, return_tensors="pt"
            )
            probabilities_NC = self._model(**batch).logits.softmax(-1)
        values, indices = probabilities_NC.max(-1)
        names = self._model.config.id2label
        return [
            {"label": names[index], "probability": value}
            for index, value in zip(indices.tolist(), values.tolist(), strict=True)
        ]
