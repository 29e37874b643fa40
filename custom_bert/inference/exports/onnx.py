"""Writes a run as an ONNX directory, which onnxruntime computes without torch.

    model.onnx            the model: (N, L) token ids and their mask become logits, or vectors of tokens
    custom_bert.json      what the outputs mean, how texts are read, and what was compared (`onnx_model`)
    tokenizer.json, tokenizer_config.json, labels.json, README.md
    config.json           as Hugging Face's, where a family of transformers expresses the model
    floor/, ensemble.json where encoder and floor predict together

The directory gets its name only after the gate has let it through (`gate`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from custom_bert import files
from custom_bert.errors import RunError
from custom_bert.floor.ensemble import NAME as ENSEMBLE
from custom_bert.floor.ensemble import has_ensemble
from custom_bert.floor.storage import FOLDER
from custom_bert.inference.classifier import Classifier
from custom_bert.inference.embeddings import Embedder
from custom_bert.inference.exports.compared import Texts, compared_classifiers, compared_encoders
from custom_bert.inference.exports.gate import FEWEST, Compared, Verdict, verdict
from custom_bert.inference.exports.gate_texts import labelled_texts, texts_with_spans, unlabelled_texts
from custom_bert.inference.exports.graph import Outputs, check_installed, graph_of
from custom_bert.inference.exports.hf import HEADS, check_free, write_config, write_tokenizer
from custom_bert.inference.exports.int8 import quantised
from custom_bert.inference.exports.onnx_card import megabytes, onnx_card, speed_line
from custom_bert.inference.exports.smoothing import smoothed
from custom_bert.model_files.families import family_of, inexpressible
from custom_bert.model_files.native import TrainedModel, load_model
from custom_bert.model_files.published_files import WEIGHTS
from custom_bert.models.heads import thresholds_of
from custom_bert.onnx_model.description import MODEL, NAME, Int8, OnnxDescription

WAY_OUT = {
    True: "export without --int8",
    False: "this is a fault of Custom-BERT or of its libraries; --format hf does not need them",
}
"""What a user can do about an export that the gate refuses, in int8 or in fp32."""


def export_onnx(
    run: str | Path,
    out: str | Path,
    *,
    int8: bool = False,
    data: str | Path | None = None,
    columns: Mapping[str, Any] = MappingProxyType({}),
) -> list[str]:
    """Writes the model of a run directory for onnxruntime.

    Args:
        run: the run directory.
        out: a directory that does not exist yet, or is empty.
        int8: whether products are computed in int8.
        data: a folder with data files, or a table, whose validation rows are compared; for an encoder, a file
            or a folder with text. None for the data of the run.
        columns: the settings of the columns and the encoding of a table, by dotted name.

    Returns:
        Lines about what was written, and what was compared.

    Raises:
        LibraryError: if a library is not installed.
        RunError: if the run is damaged, torch cannot export the model, or the gate refuses what was exported.
        DataError: if `data` cannot be used.
        WriteError: if `out` is not empty, or the system refuses to write.
    """
    check_installed()
    run, out = Path(run), Path(out)
    trained = load_model(run)
    check_free(out)
    export = _Export(trained, run, data, columns)
    with files.new_directory(out) as folder:
        lines = export.written(folder, out.name, int8=int8)
    about = f"{out}: {lines[0]}"
    return [about, *lines[1:]]


class _Export:
    """An export of a run.

    Args:
        trained: the model.
        run: the run directory.
        data, columns: see `export_onnx`.
    """

    def __init__(
        self, trained: TrainedModel, run: Path, data: str | Path | None, columns: Mapping[str, Any]
    ) -> None:
        self.trained, self.run = trained, run
        self.outputs = Outputs(trained)
        self.predicts = self.outputs.output == "logits"
        self.with_floor = self.predicts and has_ensemble(run)
        if self.predicts:
            self.classifier = Classifier.load(run, device="cpu")
            texts_of = texts_with_spans if trained.task.labels_units else labelled_texts
            self.texts = texts_of(run, trained, self.classifier, data, columns)
        else:
            self.embedder = Embedder.load(run, device="cpu")
            self.texts = unlabelled_texts(run, trained, data)

    def written(self, folder: Path, name: str, *, int8: bool) -> list[str]:
        """Writes the directory, and returns lines about it.

        Raises:
            RunError: if the gate refuses it.
        """
        lines = [*self.texts.notes, *self._write_common(folder)]
        # the smoothed model computes the same, which is checked below like any other
        samples = self.texts.rows or self.texts.random
        graph = graph_of(Outputs(smoothed(self.trained, samples)) if int8 else self.outputs)
        self._write_model(folder, graph.SerializeToString(), "none")
        # what computes wrong in fp32 is not made better by int8, and random texts tell
        texts = dataclasses.replace(self.texts, rows=()) if int8 else self.texts
        described, compared, said = self._judged(folder, texts, "none")
        if int8 and said.passed:
            described, compared, said, notes = self._in_int8(folder, graph)
            lines += notes
        if not said.passed:
            raise RunError(f"{self.run}: {said.line}; {WAY_OUT[described.int8 != 'none']}")
        self._finish(folder, name, described, compared, said)
        speed = [speed_line(compared.run, compared.export)] if compared.run and compared.export else []
        return [self._summary(described), said.line, *speed, *lines]

    def _in_int8(self, folder: Path, graph: Any) -> tuple[OnnxDescription, Compared, Verdict, list[str]]:
        """Writes the model in int8. Returns what `_judged` does, and lines about token vectors.

        They are in int8 too if few labels change by it. With too few rows to judge by they are not.
        """
        kinds: tuple[Int8, ...] = ("products and token vectors", "products")
        notes: list[str] = []
        for kind in kinds if len(self.texts.rows) >= FEWEST else kinds[1:]:
            small = kind != "products"
            self._write_model(folder, quantised(graph, folder, token_vectors=small).SerializeToString(), kind)
            described, compared, said = self._judged(folder, self.texts, kind)
            if not small or (said.passed and compared.few_changed):
                break
            notes = [f"token vectors are in fp16; in int8 {compared.differences()}"]
        return described, compared, said, notes

    def _summary(self, described: OnnxDescription) -> str:
        computes = "fp32" if described.int8 == "none" else f"int8 ({described.int8})"
        what = ", ".join(filter(None, (computes, megabytes(described.size), self.trained.task.summary())))
        return f"{MODEL} in {what}"

    def _write_common(self, folder: Path) -> list[str]:
        """Writes what does not depend on the graph. Returns a line if config.json is left out."""
        trained, task = self.trained, self.trained.task
        write_tokenizer(folder, trained)
        if self.predicts:
            task.decoder(None).store(folder)
        if self.with_floor:
            files.make_directory(folder / FOLDER)
            for part in (
                Path(ENSEMBLE),
                *(one.relative_to(self.run) for one in (self.run / FOLDER).iterdir()),
            ):
                with files.creating(folder / part) as sink:
                    files.copy_into(self.run / part, sink)
        encoder = trained.described.encoder
        if not self.predicts:
            encoder = dataclasses.replace(encoder, pooling="cls")
        fault = inexpressible(encoder, task.published_long_texts(trained.described.long_texts))
        if task.in_transformers() is not task:
            fault = "no class of transformers has these outputs"
        if fault:
            return [f"without config.json, by which other programs know a model: {fault}"]
        family = family_of(encoder)
        model = HEADS[task.head].model(family)
        if not self.predicts:
            model = family.classifier.replace("ForSequenceClassification", "Model")
        write_config(folder, trained, family.config(encoder, task.num_outputs), model)
        return []

    def _write_model(self, folder: Path, content: bytes, int8: Int8) -> None:
        files.write_bytes(folder / MODEL, content)
        files.write_json(folder / NAME, self._described(content, int8).content())

    def _described(self, content: bytes, int8: Int8) -> OnnxDescription:
        trained, described = self.trained, self.trained.described
        task = trained.task.published_task()
        return OnnxDescription(
            task=task.name,
            stored=task.stored() if self.predicts else {},
            thresholds_C=thresholds_of(trained.model),
            # an encoder reads as much as it has positions for
            max_length=described.max_length if self.predicts else described.encoder.max_position_embeddings,
            long_texts=described.long_texts if self.predicts else "head",
            pairs=described.pairs,
            inputs=self.outputs.inputs,
            output=self.outputs.output,
            width=self.outputs.width,
            int8=int8,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            verified={},
        )

    def _judged(self, folder: Path, texts: Texts, int8: Int8) -> tuple[OnnxDescription, Compared, Verdict]:
        """Compares what was written with the run, and returns what the gate says."""
        content = (folder / MODEL).read_bytes()
        sizes = ((self.run / WEIGHTS).stat().st_size, len(content))
        if self.predicts:
            compared = compared_classifiers(self.classifier, Classifier.load(folder), texts, sizes)
        else:
            vectors = Embedder.load(folder).vectors
            most = self.trained.described.max_length
            compared = compared_encoders(self.embedder.vectors, vectors, texts, sizes, most)
        said = verdict(compared, int8=int8 != "none", why_no_rows=self.texts.why_none)
        return self._described(content, int8), compared, said

    def _finish(
        self, folder: Path, name: str, described: OnnxDescription, compared: Compared, said: Verdict
    ) -> None:
        """Writes what the gate has found, and the card."""
        verified = {"on_enough_rows": said.verified, "in_words": said.line, **compared.as_dict()}
        described = dataclasses.replace(described, verified=verified)
        files.write_json(folder / NAME, described.content())
        card = onnx_card(self.trained, self.run, name, described, compared, said, with_floor=self.with_floor)
        files.write_text(folder / "README.md", card)
