"""The card of an ONNX directory: what the model is, what was compared with the run, how to use it."""

from __future__ import annotations

from pathlib import Path

from custom_bert import __version__
from custom_bert.inference.exports.card import licence_of, measured_of, start_of
from custom_bert.inference.exports.gate import Compared, Speed, Verdict
from custom_bert.model_files.native import TrainedModel
from custom_bert.onnx_model.description import OnnxDescription
from custom_bert.tasks.parts import CardFacts

COMPUTES = {
    "none": "It computes in fp32.",
    "products": "Its products compute in int8; its token vectors are kept in fp16.",
    "products and token vectors": "Its products compute in int8, and its token vectors are kept in int8.",
}
"""What a model computes in, by `OnnxDescription.int8`."""

NEIGHBOURS = (
    "In int8 all numbers that go into a product share a scale. So the outputs for a text depend a little on "
    "the texts that are computed together with it."
)


def onnx_card(
    trained: TrainedModel,
    run: Path,
    name: str,
    described: OnnxDescription,
    compared: Compared,
    said: Verdict,
    *,
    with_floor: bool,
) -> str:
    """Returns the card, in Markdown with a YAML header.

    Args:
        trained: the model.
        run: the run directory, whose record says what was measured.
        name: the name of the directory.
        described: what custom_bert.json says.
        compared: the run and the export.
        said: what the gate says of them.
        with_floor: whether the directory has the floor with which the run predicts.

    Raises:
        RunError: if the run's record is damaged.
    """
    facts = CardFacts(name, described.max_length, trained.tokenizer)
    parts, start = trained.task.card(trained.described.encoder, trained.model, facts), start_of(run)
    predicts = described.output == "logits"
    base = start.get("repository", "")
    head = [
        "---",
        "library_name: custom-bert",
        *([f"base_model: {base}"] if base else []),
        f"pipeline_tag: {parts.pipeline if predicts else 'feature-extraction'}",
        "tags: [custom-bert, onnx]",
        "---",
    ]
    about = parts.about if predicts else f"An encoder for embeddings. {parts.about}"
    paragraphs = [
        f"# {name}",
        f"{about}. Trained with Custom-BERT {__version__}, and exported as ONNX.",
        *(parts.more if predicts else ()),
        " ".join([COMPUTES[described.int8], *([NEIGHBOURS] if described.int8 != "none" else [])]),
        *measured_of(trained, run, with_floor=with_floor),
        f"Compared with the run: {said.line}.",
        *_table(compared),
        *licence_of(start),
        "\n".join(["```python", *(_classifying(name, facts) if predicts else _embedding(name)), "```"]),
        "That needs no torch: the distribution `custom-bert-runtime` is enough.",
    ]
    return "\n".join([*head, "", "\n\n".join(paragraphs), ""])


def _table(compared: Compared) -> list[str]:
    """Returns a table of size and speed; nothing if they were not measured."""
    if compared.run is None or compared.export is None:
        return []
    sides = (compared.run, compared.export)
    rows = [
        ("size of the weights", *(megabytes(one.size) for one in sides)),
        ("a text alone, median", *(f"{one.latency_ms:.1f} ms" for one in sides)),
        ("32 texts together", *(f"{one.texts_per_second:,.0f} texts a second" for one in sides)),
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return ["\n".join(["| | the run, by torch | this directory, by onnxruntime |", "|---|---|---|", *lines])]


def megabytes(size: int) -> str:
    """Returns a size in units of 10^6 bytes, such as `22.9 MB`."""
    return f"{size / 1e6:,.1f} MB"


def speed_line(run: Speed, export: Speed) -> str:
    """Returns how fast and how large both sides are, for a terminal."""
    return (
        f"a text alone {export.latency_ms:.1f} ms (the run {run.latency_ms:.1f} ms), 32 together "
        f"{export.texts_per_second:,.0f} texts a second (the run {run.texts_per_second:,.0f}), "
        f"{megabytes(export.size)} (the run {megabytes(run.size)})"
    )


def _classifying(name: str, facts: CardFacts) -> list[str]:
    text = '("a text", "another")' if facts.tokenizer.pairs else '"a text"'
    return [
        "from custom_bert import Classifier",
        "",
        f'print(Classifier.load("{name}").predict([{text}]))',
    ]


def _embedding(name: str) -> list[str]:
    return ["from custom_bert import Embedder", "", f'print(Embedder.load("{name}").embed(["a text"]))']
