"""What `custom-bert demo` prints of a text or a pair: its labels with bars, and the words that count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from custom_bert import terminal
from custom_bert.data.encoded import EncodedTexts
from custom_bert.data.text import is_blank
from custom_bert.data.text_pairs import as_line, sides
from custom_bert.data.unknown import OF_A_MODEL, UnknownText
from custom_bert.errors import RunError
from custom_bert.inference.classifier import Classifier
from custom_bert.inference.explanation import Explanation
from custom_bert.phrases import counted
from custom_bert.reports.answers import Place, bar_lines, filled, marked_lines, shortened, word_lines

BARS = 3
"""The number of labels with a bar; more only if more labels are predicted."""

MOST_BARS = 8
"""The largest number of labels with a bar."""

EXPLAINED = 3
"""The largest number of predicted labels whose words are shown."""

WORDS = 5
"""The number of words that are shown for a label."""


@dataclass
class _Reading(UnknownText):
    """Counts what of a text the model does not know, and what it does not read.

    Attributes:
        lost: the number of tokens that were cut off.
    """

    lost: int = 0

    def add(self, encoded: EncodedTexts) -> None:
        """Adds the counts of the next texts."""
        super().add(encoded)
        self.lost += int(encoded.lost_N.sum())


class Answers:
    """Answers texts at a terminal.

    Args:
        classifier: the model.

    Attributes:
        pairs: whether it answers pairs of texts.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier, self.pairs = classifier, classifier.pairs

    @staticmethod
    def load(directory: Path) -> Answers:
        """Loads the classifier of a run directory; see `Classifier.load` for what it raises.

        Raises:
            RunError: if its model predicts no labels, too.
        """
        classifier = Classifier.load(directory)
        if classifier.decoder.labels_units:
            raise RunError(
                f"{directory}: the demo shows labels of whole texts, and the model finds spans in them; "
                f"custom-bert predict {directory} TEXTS prints them"
            )
        if not classifier.labels:
            raise RunError(
                f"{directory}: the demo shows labels and the words that count for them, and the model "
                f"predicts numbers; custom-bert predict {directory} TEXTS prints them"
            )
        return Answers(classifier)

    def introduction(self, examples: tuple[str, ...]) -> list[str]:
        """Returns lines that say what can be typed.

        Args:
            examples: texts to try, by number; pairs as `data.text_pairs` holds them.
        """
        columns = terminal.columns()
        labels = counted(len(self._classifier.labels), "label")
        or_try = ", or the number of an example" if examples else ""
        how = "the first text, Enter, the second text and" if self.pairs else "a text and press"
        lines = filled(f"{labels}. Type {how} Enter{or_try}. Ctrl-D ends.", columns)
        lines += filled(
            "The number beside a word is how much the logarithm of the label's probability would fall "
            "without that word." + " (1) is a word of the first text, (2) one of the second." * self.pairs,
            columns,
        )
        lines += [f"  {i}  {shortened(as_line(text), columns - 5)}" for i, text in enumerate(examples, 1)]
        return [*lines, ""]

    def ending(self, directory: Path) -> list[str]:
        """Returns lines that say how to go on with the classifier in a run directory."""
        words = f"custom-bert predict {directory} TEXTS labels the lines of a file with this classifier."
        return filled(words, terminal.columns())

    def to(self, text: str, *, repeat: bool) -> list[str]:
        """Returns the lines that answer a text or a pair.

        Args:
            text: the text, or the pair as `data.text_pairs` holds it.
            repeat: whether the text itself is printed too, also where no word of it can be marked.
        """
        columns, marks = terminal.columns(), terminal.shows_marks()
        texts = sides(text) if self.pairs else (text,)
        if all(map(is_blank, texts)):
            return ["an empty text: there is nothing to read"]
        reading, given = _Reading(), texts if self.pairs else text
        (prediction,) = self._classifier.stream([given], every=True, unknown=reading)
        explanation = self._classifier.explain(given, most=WORDS)
        probabilities: dict[str, float] = prediction.as_dict()["probabilities"]
        lines = []
        for i, one in enumerate(texts if marks or repeat else ()):
            lines += marked_lines(one, _places(explanation, second=bool(i)) if marks else [], columns)
        lines += self._labels(explanation, probabilities, columns)
        lines += _words(explanation, columns)
        return lines + [line for note in _notes(reading, explanation) for line in filled(note, columns, "  ")]

    def _labels(self, explanation: Explanation, probabilities: dict[str, float], columns: int) -> list[str]:
        """Returns the most probable labels with bars, and what is predicted if that is not the first one."""
        given = [one.label for one in explanation.labels]
        ordered = sorted(probabilities.items(), key=lambda pair: -pair[1])
        count = min(MOST_BARS, max(BARS, len(given)))
        lines = bar_lines(ordered[:count], columns)
        if given != [ordered[0][0]]:
            words = ", ".join(given) if given else "none; no probability reaches its label's threshold"
            lines = [*filled(f"labels: {words}", columns, "  "), *lines]
        return lines


def _places(explanation: Explanation, *, second: bool) -> list[Place]:
    """Returns where the words that count stand in the text, or in one text of a pair."""
    return [
        Place(word.start, word.end, word.effect)
        for one in explanation.labels[:EXPLAINED]
        for word in one.words
        if bool(word.second) == second
    ]


def _words(explanation: Explanation, columns: int) -> list[str]:
    """Returns the words that count for each label; the label is named if there are several."""
    lines: list[str] = []
    for one in explanation.labels[:EXPLAINED]:
        about = f" ({one.label})" if len(explanation.labels) > 1 else ""
        lines += word_lines([(word.name, word.effect) for word in one.words], columns, about)
    return lines


def _notes(reading: _Reading, explanation: Explanation) -> list[str]:
    """Returns what the person should know of how the text was read, one line each."""
    notes = []
    if reading.unknown:
        unreliable = f": {OF_A_MODEL}" if reading.spoils_predictions else ""
        notes.append(
            f"{reading.unknown:,} of {counted(reading.characters, 'character')} are unknown to the model"
            f"{unreliable}"
        )
    if reading.lost:
        notes.append(f"the text is long: at least {counted(reading.lost, 'token')} of it are not read")
    if not explanation.complete:
        notes.append(f"only the first {counted(explanation.tried, 'word')} were left out, one at a time")
    return notes
