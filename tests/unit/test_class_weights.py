"""The weights of classes: a table by name, balanced, and by effective numbers."""

import numpy as np
import pytest
import torch

from custom_bert.config_sources import from_mapping
from custom_bert.errors import ConfigError
from custom_bert.ops.losses import (
    balanced_weights,
    effective_binary_weights,
    effective_numbers,
    effective_weights,
)
from custom_bert.options.option import setting_sections
from custom_bert.tasks.class_weights import binary_class_weights, class_weights, unknown_in_table

LABELS = ("ham", "spam", "unsure")


def test_a_table_weighs_the_labels_that_it_names() -> None:
    counts = torch.tensor([10, 2, 5])
    found = class_weights({"spam": 5.0, "ham": 0.5}, LABELS, counts)
    assert found is not None and found.tolist() == [0.5, 5.0, 1.0]
    assert class_weights("none", LABELS, counts) is None
    both = binary_class_weights({"spam": 5.0}, LABELS, counts, 17.0)
    assert both is not None and both.tolist() == [[1, 1, 1], [1, 5, 1]]


def test_unknown_labels_are_refused_with_the_nearest() -> None:
    assert unknown_in_table({"Spam": 5.0, "egg": 1.0}, LABELS) == [
        "optim.class_weights: no training text has the label 'Spam' (did you mean 'spam'?)",
        "optim.class_weights: no training text has the label 'egg'",
    ]
    assert unknown_in_table("balanced", LABELS) == []


def test_effective_numbers_are_those_of_the_paper() -> None:
    counts = np.array([3, 50, 1_000, 200_000])
    found = effective_weights(torch.from_numpy(counts)).numpy()
    paper = (1 - 0.999) / (1 - 0.999**counts)  # Cui et al. 2019, equation 5
    assert found / found[0] == pytest.approx(paper / paper[0], rel=1e-6)
    assert np.average(found, weights=counts) == pytest.approx(1)
    assert effective_numbers(torch.tensor([1, 10**9])).tolist() == pytest.approx([1, 1_000])
    assert bool(torch.isfinite(effective_weights(torch.tensor([0, 5, 7]))).all())
    balanced = balanced_weights(torch.from_numpy(counts)).numpy()
    assert found[0] / found[1] == pytest.approx(balanced[0] / balanced[1], rel=0.03)  # few: as balanced
    assert effective_weights(torch.tensor([10_000, 50_000])).tolist() == pytest.approx([1, 1], rel=1e-3)


def test_of_yes_or_no_questions_an_example_weighs_1_on_average() -> None:
    absent, present = effective_binary_weights(torch.tensor([10.0, 500.0, 0.0]), 10_000.0)
    assert (absent * 9_990 + present * 10)[0].item() == pytest.approx(10_000)
    assert present[0] > 50 * absent[0] and present[1] > absent[1] and bool(torch.isfinite(present).all())


def test_a_table_is_a_mapping_or_a_text_in_json() -> None:
    table = from_mapping({"optim.class_weights": {"spam": 5, "ham": np.float32(0.5)}}).optim.class_weights
    assert table == {"spam": 5.0, "ham": 0.5}
    option = next(
        one for section in setting_sections() for one in section.options if one.name == "optim.class_weights"
    )
    assert option.read(['{"spam": 5}']) == {"spam": 5.0} and option.read(["balanced"]) == "balanced"
    assert option.values == "none | balanced | effective_number | JSON"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("heavy", 'expected one of none, balanced, effective_number, or a table such as {"spam": 5}'),
        ("balnced", "(did you mean 'balanced'?), or a table such as"),
        (None, 'or a table such as {"spam": 5}, got None'),
        (3, 'or a table such as {"spam": 5}, got 3'),
        ({}, 'expected a table with a label, such as {"spam": 5}'),
        ("{}", 'expected a table with a label, such as {"spam": 5}'),
        ('{"spam": }', 'expected a table in JSON, such as {"spam": 5}, but Expecting value'),
        ('{"spam": 1, "spam": 2}', "'spam' occurs twice in the table"),
        ({"spam": 0}, "'spam': expected a number above 0"),
        ({"spam": -1.0}, "'spam': expected a number above 0"),
        ({"spam": float("nan")}, "'spam': expected a finite number"),
        ({"spam": "5"}, "'spam': expected a finite number"),
        ({"spam": True}, "'spam': expected a number"),
        ({3: 1.0}, "3: expected text"),
    ],
)
def test_what_is_no_table_of_weights_is_refused_in_one_line(value: object, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping({"optim.class_weights": value})
    (said,) = caught.value.faults
    assert said.startswith("config: optim.class_weights: ") and fault in said and "\n" not in said
