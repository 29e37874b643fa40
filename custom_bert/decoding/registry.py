"""The table of all decoders, by the value of the setting `task`."""

from __future__ import annotations

from custom_bert.config import TaskName
from custom_bert.decoding.classes import ClassDecoder, ShareDecoder
from custom_bert.decoding.decoder import Decoder
from custom_bert.decoding.numbers import NumberDecoder
from custom_bert.decoding.ranks import RankDecoder
from custom_bert.decoding.sets import SetDecoder
from custom_bert.decoding.spans import SpanDecoder

DECODERS: dict[TaskName, type[Decoder]] = {
    "classification": ClassDecoder,
    "multi_label": SetDecoder,
    "soft_labels": ShareDecoder,
    "regression": NumberDecoder,
    "ordinal": RankDecoder,
    "tokens": SpanDecoder,
}
"""A task that predicts nothing for whole texts has none."""
