"""Loads a classifier from a run directory, or from one in Hugging Face's layout; torch computes it."""

from __future__ import annotations

from pathlib import Path

from custom_bert.config import Precision
from custom_bert.errors import NoPredictionsError, warn_caller
from custom_bert.floor.storage import has_floor
from custom_bert.inference.encoder_scores import EncoderScores
from custom_bert.inference.loaded import Loaded
from custom_bert.inference.scores import WHOLE, BothScores, FloorScores, ScoreModel
from custom_bert.machine import choose_device
from custom_bert.model_files.description import read_description
from custom_bert.model_files.native import has_weights, load_model
from custom_bert.model_files.published_classifier import is_published, load_published_classifier
from custom_bert.openmp import one_thread
from custom_bert.precision import choose_precision
from custom_bert.tasks.task import Task


def load_run(
    directory: Path, device: str | None, precision: Precision, *, floor: bool, encoder_only: bool
) -> Loaded:
    """Loads a classifier from a directory of one of both kinds; see `kinds.load_directory`."""
    where = choose_device(device)[0]
    if not has_weights(directory) and has_floor(directory) and not encoder_only:
        warn_caller(
            f"{directory}: the encoder has no weights yet; the floor predicts, a linear model on n-grams"
        )
        described = read_description(directory)
        return _loaded(described.task, FloorScores(described.task.read_floor(directory)), described.pairs)
    with one_thread():
        trained = load_published_classifier(directory) if is_published(directory) else load_model(directory)
    task, pairs = trained.task, trained.described.pairs
    if not task.num_outputs:
        raise NoPredictionsError(f"{directory}: {task.no_predictions.format(directory=directory)}")
    encoder = EncoderScores(trained, where, choose_precision(precision, where)[0])
    if not floor:
        return _loaded(task, encoder, pairs)
    floor_scores = FloorScores(task.read_floor(directory))
    return _loaded(task, BothScores(encoder, floor_scores, task.read_ensemble(directory)), pairs)


def _loaded(task: Task, scores: ScoreModel, pairs: bool) -> Loaded:
    decoder = task.decoder(scores.thresholds[WHOLE])
    return Loaded(decoder=decoder, scores=scores, task=lambda: task, pairs=pairs)
