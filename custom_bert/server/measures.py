"""What a server counts, and Prometheus' text format, which is lines of name, labels and number.

https://prometheus.io/docs/instrumenting/exposition_formats/ describes the format. Nothing that is counted
holds text of a request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""The upper bounds of the buckets of histograms."""

PREFIX = "custom_bert_"


class Histogram:
    """Counts values by upper bounds.

    Args:
        bounds: the upper bounds, which rise.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """Counts a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        """Yields the lines of the histogram.

        Args:
            name: its name.
            labels: labels as the format writes them, without braces.
        """
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        before = f"{labels}," if labels else ""
        total = 0
        for bound, total in zip(bounds, accumulate(self._counts), strict=True):
            yield f'{name}_bucket{{{before}le="{bound}"}} {total}'
        braces = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{braces} {self._sum:.6f}"
        yield f"{name}_count{braces} {total}"


class Measures:
    """Counts requests, texts and batches.

    Attributes:
        answered: requests of the queue that were answered with what they asked for.
        gone: those whose clients went away before that.
    """

    def __init__(self) -> None:
        self.answered = self.gone = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._texts: Counter[str] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self._batches, self._computing = Histogram(TEXTS), Histogram(SECONDS)
        self._characters = self._unknown = 0

    def request(self, path: str, status: int, seconds: float) -> None:
        """Counts a request and the time until its answer was there.

        Args:
            path: a path that the server knows, or "other", so that strangers cannot make names.
            status: the status code of the answer.
            seconds: the time.
        """
        self._requests[path, status] += 1
        histogram = self._seconds.get(path)
        if histogram is None:
            histogram = self._seconds[path] = Histogram(SECONDS)
        histogram.add(seconds)

    def texts(self, path: str, count: int) -> None:
        """Counts texts, or pairs, of requests that were answered."""
        self._texts[path] += count

    def batch(self, items: int, seconds: float) -> None:
        """Counts a batch of texts and the time that it took."""
        self._batches.add(items)
        self._computing.add(seconds)

    def characters(self, characters: int, unknown: int) -> None:
        """Counts the characters that were read, and those of them that the vocabulary does not know."""
        self._characters += characters
        self._unknown += unknown

    def page(self, accepted: int, gauges: dict[str, tuple[str, float]]) -> str:
        """Returns all that was counted in Prometheus' format.

        Args:
            accepted: the number of requests that entered the queue.
            gauges: what has a value now: its name, a sentence about it, and the value.
        """
        lines: list[str] = []

        def family(name: str, kind: str, about: str, rows: Iterator[str]) -> None:
            lines.extend([f"# HELP {PREFIX}{name} {about}", f"# TYPE {PREFIX}{name} {kind}", *rows])

        requests = sorted(self._requests.items())
        family(
            "requests_total",
            "counter",
            "Requests by path and status code.",
            (f'{PREFIX}requests_total{{path="{p}",code="{c}"}} {count}' for (p, c), count in requests),
        )
        family(
            "texts_total",
            "counter",
            "Texts, or pairs of texts, that were answered.",
            (f'{PREFIX}texts_total{{path="{p}"}} {count}' for p, count in sorted(self._texts.items())),
        )
        counts = {
            "accepted_total": ("Requests that entered the queue.", accepted),
            "answered_total": ("Requests of the queue that were answered.", self.answered),
            "gone_total": ("Requests of the queue whose clients went away.", self.gone),
            "characters_total": ("Characters of texts, without white space.", self._characters),
            "unknown_characters_total": ("Characters that the vocabulary does not know.", self._unknown),
        }
        for name, (about, count) in counts.items():
            family(name, "counter", about, iter([f"{PREFIX}{name} {count}"]))
        family(
            "request_seconds",
            "histogram",
            "Seconds from the head of a request to its answer.",
            (
                line
                for path, histogram in sorted(self._seconds.items())
                for line in histogram.lines(f"{PREFIX}request_seconds", f'path="{path}"')
            ),
        )
        name = "batch_texts"
        family(
            name, "histogram", "Texts that were computed together.", self._batches.lines(f"{PREFIX}{name}")
        )
        name = "batch_seconds"
        family(name, "histogram", "Seconds of a batch.", self._computing.lines(f"{PREFIX}{name}"))
        for name, (about, value) in gauges.items():
            family(name, "gauge", about, iter([f"{PREFIX}{name} {value:g}"]))
        return "\n".join(lines) + "\n"
