"""`BatchPredictor` adds predictions to batches: alone, in Ray Data and in Spark, where those are there."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import examples

from custom_bert import BatchPredictor, Classifier
from custom_bert.bulk import predictor as module
from custom_bert.errors import DataError

TEXTS = examples(40, seed=6)[0]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The directories that are loaded."""
    real, found = Classifier.load, list[str]()

    def load(directory: str, **options: Any) -> Classifier:
        found.append(directory)
        return real(directory, **options)

    monkeypatch.setattr(Classifier, "load", load)
    module._loaded.cache_clear()
    yield found
    module._loaded.cache_clear()


def expected(run: Path) -> list[tuple[str, float]]:
    return [(one.label, one.probability) for one in Classifier.load(run).predict(TEXTS)]


def test_a_dictionary_of_arrays_comes_back_with_predictions(run: Path) -> None:
    batch = {"text": np.array(TEXTS, dtype=object), "n": np.arange(len(TEXTS))}
    found = BatchPredictor(run)(batch)
    assert list(found) == ["text", "n", "predicted_label", "predicted_probability"]
    assert found["n"] is batch["n"] and "predicted_label" not in batch
    labels, probabilities = zip(*expected(run), strict=True)
    assert found["predicted_label"].tolist() == list(labels)
    assert found["predicted_probability"].dtype == np.float64
    assert found["predicted_probability"] == pytest.approx(np.array(probabilities), abs=1e-5)
    fixed = BatchPredictor(run)({"text": np.array(TEXTS), "predicted_label": np.zeros(len(TEXTS))})
    assert list(fixed) == ["text", "predicted_label", "predicted_label_2", "predicted_probability"]


def test_a_frame_comes_back_with_its_index_and_missing_texts_are_empty(run: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"body": [*TEXTS[:3], None]}, index=[7, 5, 3, 1])
    found = BatchPredictor(run, text_column="body")(frame)
    assert found.index.tolist() == [7, 5, 3, 1] and list(frame) == ["body"]
    assert found["predicted_label"].tolist()[:3] == [label for label, _ in expected(run)[:3]]
    empty = BatchPredictor(run, text_column="body")(frame[:0])
    assert list(empty) == ["body", "predicted_label", "predicted_probability"] and not len(empty)


def test_it_is_copied_without_its_model_which_each_process_loads_once(run: Path, loads: list[str]) -> None:
    one = BatchPredictor(run)
    assert loads == []
    list(one.frames([{"text": np.array(TEXTS)}, {"text": np.array(TEXTS)}]))
    copy = pickle.loads(pickle.dumps(one))
    assert len(pickle.dumps(one)) < 1000
    copy({"text": np.array(TEXTS)})
    assert loads == [str(run)]


def test_columns_say_what_is_added(run: Path) -> None:
    assert BatchPredictor(run).columns == {"predicted_label": str, "predicted_probability": float}


def test_what_is_no_text_is_said_with_its_row(run: Path) -> None:
    with pytest.raises(DataError, match=r"the batch: has no column 'text'; it has 'n'"):
        BatchPredictor(run)({"n": np.zeros(2)})
    with pytest.raises(DataError, match=r"the batch: row 2, column 'text': expected a text, got True"):
        BatchPredictor(run)({"text": np.array(["a", True], dtype=object)})
    with pytest.raises(DataError, match=r"the model reads single texts; leave out second_text_column"):
        BatchPredictor(run, second_text_column="n")({"text": np.zeros(2), "n": np.zeros(2)})


def test_ray_data_brings_batches_to_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    ray: Any = pytest.importorskip("ray.data")
    import ray as cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    cluster.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        rows = ray.from_items([{"text": text, "n": i} for i, text in enumerate(TEXTS)])
        labelled = rows.map_batches(
            BatchPredictor,
            fn_constructor_args=(str(run),),
            batch_size=16,
            compute=ray.ActorPoolStrategy(size=1),
        )
        found = sorted(labelled.take_all(), key=lambda row: row["n"])
    finally:
        cluster.shutdown()
    assert [row["predicted_label"] for row in found] == [label for label, _ in expected(run)]
    assert [row["predicted_probability"] for row in found] == pytest.approx(
        [probability for _, probability in expected(run)], abs=1e-5
    )


def test_spark_brings_frames_to_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sql: Any = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    session = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        rows = session.createDataFrame([(text, i) for i, text in enumerate(TEXTS)], "text string, n int")
        schema = "text string, n int, predicted_label string, predicted_probability double"
        found = rows.mapInPandas(BatchPredictor(run).frames, schema).orderBy("n").collect()
    finally:
        session.stop()
    assert [row.predicted_label for row in found] == [label for label, _ in expected(run)]
    assert [row.predicted_probability for row in found] == pytest.approx(
        [probability for _, probability in expected(run)], abs=1e-5
    )
