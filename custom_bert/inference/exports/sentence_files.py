"""The files by which other programs read an export's lengths and, of an encoder, make vectors of texts.

sentence-transformers, text-embeddings-inference and vLLM read them. With these files, they compute the
vectors that `Embedder` computes: the mean of all tokens, scaled to length 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom_bert.inference.embeddings import TOKENS
from custom_bert.model_files.description import Description

LENGTH = "sentence_bert_config.json"
"""The file that says how many tokens are kept of a text. text-embeddings-inference reads nothing else for it.
"""

MODULES = ("Transformer", "Pooling", "Normalize")
"""The steps from a text to its vector, which are classes of sentence-transformers."""

POOLING = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
"""What sentence-transformers may take as the vector of a text."""


def length_file(described: Description) -> Mapping[str, Any]:
    """Returns the files of a classifier by name: how many tokens it keeps of a text."""
    return {LENGTH: _length(described.max_length)}


def vector_files(described: Description) -> Mapping[str, Any]:
    """Returns the files of an encoder by name, whose contents are JSON: the steps to a vector, and their
    settings."""
    encoder = described.encoder
    paths = [f"{index}_{name}" if index else "" for index, name in enumerate(MODULES)]
    return {
        LENGTH: _length(min(TOKENS, encoder.max_position_embeddings)),
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
            for i, (name, path) in enumerate(zip(MODULES, paths, strict=True))
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": encoder.hidden_size,
            **{f"pooling_mode_{name}": name == "mean_tokens" for name in POOLING},
        },
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }


def _length(tokens: int) -> dict[str, Any]:
    return {"max_seq_length": tokens, "do_lower_case": False}
