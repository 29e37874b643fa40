"""The table of an evaluation on distributions for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from custom_bert.metrics import Scores
from custom_bert.phrases import counted
from custom_bert.reports.tables import score_lines
from custom_bert.share_metrics import ShareScores


def share_lines(scores: Scores, shares: ShareScores, labels: Sequence[str]) -> list[str]:
    """Returns the table of the classes, which counts majorities, and lines about the distributions."""
    tied = f" ({counted(shares.tied, 'text')} with several)" if shares.tied else ""
    return [
        *score_lines(scores, labels),
        "",
        f"these count the label with the largest share; where several have it, each of them is right{tied}",
        f"divergence         {shares.divergence:.4f} nats from the given shares to the probabilities",
        f"calibration error  {shares.calibration_error:.4f} between the probability and the share of the "
        "predicted label",
    ]
