"""A model that was read from an ONNX directory. It computes texts in rectangles of similar length, and puts
the outputs into the order of the texts.

Shapes: N texts, W rows (a text, or one of its windows), K outputs, D width of an encoder. U
units of a text, M units and T tokens of all texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from custom_bert.data.row_targets import RowTargets
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import read_run_tokenizer
from custom_bert.data.unknown import UnknownText
from custom_bert.data.windows import overlap_of
from custom_bert.errors import RunError
from custom_bert.onnx_model.description import MODEL, OnnxDescription, read_model, read_onnx_description
from custom_bert.onnx_model.rectangles import Rectangle, Rows
from custom_bert.onnx_model.session import OnnxSession
from custom_bert.ranges import joined_ranges


class OnnxModel:
    """A model that was read from an ONNX directory.

    Args:
        described: what it computes.
        tokenizer: the tokenizer of its texts.
        session: computes it.
        path: of model.onnx, for messages.
    """

    def __init__(
        self, described: OnnxDescription, tokenizer: TextTokenizer, session: OnnxSession, path: Path
    ) -> None:
        self.described, self.tokenizer = described, tokenizer
        self._session, self._path = session, path

    @staticmethod
    def load(directory: str | Path, described: OnnxDescription | None = None) -> OnnxModel:
        """Reads a directory that `custom-bert export --format onnx` wrote.

        Args:
            directory: the directory.
            described: what its custom_bert.json says, if that has been read.

        Raises:
            LibraryError: if onnxruntime is not installed.
            RunError: if it is missing, incomplete or damaged.
        """
        directory = Path(directory)
        described = described or read_onnx_description(directory)
        tokenizer = read_run_tokenizer(directory / "tokenizer.json", pairs=described.pairs)
        content, path = read_model(directory, described), directory / MODEL
        session = OnnxSession(path, content, described.inputs, described.output)
        return OnnxModel(described, tokenizer, session, path)

    def rows(
        self,
        texts: Sequence[str],
        max_length: int,
        unknown: UnknownText,
        reduce: Callable[[np.ndarray, Rectangle], np.ndarray],
    ) -> np.ndarray:
        """Returns (N, width) fp32, where row i belongs to text i. Of the windows of a text it is the mean.

        Args:
            texts: at least one text or pair.
            max_length: the number of tokens that are kept of a text, or of each window.
            unknown: counts the text that the vocabulary does not know.
            reduce: makes (B, width) of the output for a rectangle.

        Raises:
            RunError: if the model cannot be computed, or has another number of outputs than it should.
        """
        described = self.described
        encoded = self.tokenizer.encode(texts, max_length, described.long_texts)
        unknown.add(encoded)
        rows = Rows(encoded, max_length if described.long_texts == "windows" else None, self.tokenizer.pad_id)
        cut = rows.cut()
        found_WK = np.empty((len(cut.text_W), described.width), dtype=np.float32)
        for one in rows.rectangles(cut):
            found_WK[one.rows_B] = reduce(self._computed(one), one)
        if len(found_WK) == len(texts):
            return found_WK
        sums_NK = np.zeros((len(texts), described.width), dtype=np.float32)
        np.add.at(sums_NK, cut.text_W, found_WK)
        return sums_NK / np.bincount(cut.text_W)[:, None].astype(np.float32)

    def units(self, texts: Sequence[str], unknown: UnknownText) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns for each text (U, 2) where its units begin and end, and their (U, K) fp32 outputs. Of a
        text that is read in windows, each unit is decided by one of them.

        For the arguments and what is raised see `rows`.
        """
        described, special = self.described, self.tokenizer.frame.size
        windowed = described.long_texts == "windows"
        encoded = self.tokenizer.encode(texts, described.max_length, described.long_texts, units=True)
        unknown.add(encoded)
        assert encoded.units is not None
        rows = Rows(
            encoded,
            described.max_length if windowed else None,
            self.tokenizer.pad_id,
            overlap_of(described.max_length, special) if windowed else 0,
        )
        cut = rows.cut()
        first_W = np.cumsum(cut.length_W) - cut.length_W
        found_TK = np.empty((int(cut.length_W.sum()), described.width), dtype=np.float32)
        for one in rows.rectangles(cut):
            output_BLK = self._computed(one)
            lengths_B = cut.length_W[one.rows_B]
            # the rows of a rectangle are not neighbours among all windows
            found_TK[joined_ranges(lengths_B, first_W[one.rows_B])] = output_BLK[one.attention_mask_BL > 0]
        targets = RowTargets.of_units(encoded.units)
        _, rows_M, counts = targets.laid_out(np.arange(len(texts)), cut, cut.length_W)
        values = np.split(found_TK[rows_M], np.cumsum(counts)[:-1])
        return [(units_U3[:, 1:], own) for units_U3, own in zip(encoded.units, values, strict=True)]

    def _computed(self, one: Rectangle) -> np.ndarray:
        output, width = self._session.run(one.inputs(self.described.inputs)), self.described.width
        if output.shape[-1] != width:
            raise RunError(
                f"{self._path}: it has {output.shape[-1]:,} outputs, not {width:,}; export the run again"
            )
        return output


def pooled(hidden_BLD: np.ndarray, rectangle: Rectangle, pooling: str) -> np.ndarray:
    """Returns (B, D) a vector for each row: the mean of its tokens' vectors, or that of its first token.

    Args:
        hidden_BLD: what the model returned.
        rectangle: what it was given.
        pooling: "mean" or "cls".
    """
    if pooling == "cls":
        return hidden_BLD[:, 0]
    mask_BL = rectangle.attention_mask_BL
    if not mask_BL.all():
        hidden_BLD = np.where(mask_BL[:, :, None] > 0, hidden_BLD, np.float32(0))
    means_BD: np.ndarray = hidden_BLD.sum(axis=1) / mask_BL.sum(axis=1, keepdims=True).astype(np.float32)
    return means_BD
