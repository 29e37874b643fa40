"""Custom-BERT: from two line-aligned text files to a trained, evaluated, deployable text classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from custom_bert.bulk.predictor import BatchPredictor as BatchPredictor
    from custom_bert.config import TrainConfig as TrainConfig
    from custom_bert.data.memory import in_memory as in_memory
    from custom_bert.decoding.classes import Prediction as Prediction
    from custom_bert.decoding.numbers import NumbersPrediction as NumbersPrediction
    from custom_bert.decoding.sets import LabelsPrediction as LabelsPrediction
    from custom_bert.decoding.spans import SpansPrediction as SpansPrediction
    from custom_bert.estimator.text_classifier import TextClassifier as TextClassifier
    from custom_bert.estimator.text_regressor import TextRegressor as TextRegressor
    from custom_bert.estimator.token_classifier import TokenClassifier as TokenClassifier
    from custom_bert.inference.classifier import Classifier as Classifier
    from custom_bert.inference.embeddings import Embedder as Embedder
    from custom_bert.inference.explanation import Explanation as Explanation
    from custom_bert.inference.explanation import LabelExplanation as LabelExplanation
    from custom_bert.inference.explanation import WordEffect as WordEffect
    from custom_bert.label_metrics import LabelScores as LabelScores
    from custom_bert.metrics import ClassScores as ClassScores
    from custom_bert.metrics import Scores as Scores
    from custom_bert.number_metrics import NumberScores as NumberScores
    from custom_bert.rank_metrics import RankScores as RankScores
    from custom_bert.training.log import Reporter as Reporter
    from custom_bert.training.loop import train_model as train_model
    from custom_bert.training.outcome import TrainResult as TrainResult

__version__ = "0.1.0"
__all__ = [
    "BatchPredictor",
    "ClassScores",
    "Classifier",
    "Embedder",
    "Explanation",
    "LabelExplanation",
    "LabelScores",
    "LabelsPrediction",
    "NumberScores",
    "NumbersPrediction",
    "Prediction",
    "RankScores",
    "Reporter",
    "Scores",
    "SpansPrediction",
    "TextClassifier",
    "TextRegressor",
    "TokenClassifier",
    "TrainConfig",
    "TrainResult",
    "WordEffect",
    "__version__",
    "in_memory",
    "train_model",
]

_HOME = {
    "BatchPredictor": "custom_bert.bulk.predictor",
    "ClassScores": "custom_bert.metrics",
    "Classifier": "custom_bert.inference.classifier",
    "Embedder": "custom_bert.inference.embeddings",
    "Explanation": "custom_bert.inference.explanation",
    "LabelExplanation": "custom_bert.inference.explanation",
    "LabelScores": "custom_bert.label_metrics",
    "LabelsPrediction": "custom_bert.decoding.sets",
    "NumberScores": "custom_bert.number_metrics",
    "NumbersPrediction": "custom_bert.decoding.numbers",
    "Prediction": "custom_bert.decoding.classes",
    "RankScores": "custom_bert.rank_metrics",
    "Reporter": "custom_bert.training.log",
    "Scores": "custom_bert.metrics",
    "SpansPrediction": "custom_bert.decoding.spans",
    "TextClassifier": "custom_bert.estimator.text_classifier",
    "TextRegressor": "custom_bert.estimator.text_regressor",
    "TokenClassifier": "custom_bert.estimator.token_classifier",
    "TrainConfig": "custom_bert.config",
    "TrainResult": "custom_bert.training.outcome",
    "WordEffect": "custom_bert.inference.explanation",
    "in_memory": "custom_bert.data.memory",
    "train_model": "custom_bert.training.loop",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are used, so that `import custom_bert` stays fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'custom_bert' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
