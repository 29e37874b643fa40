"""Shares of labels as the estimator's callers write them: their lines in a label file, and who is right."""

import numpy as np
from scipy.sparse import csr_matrix

from custom_bert.data.share_files import shares_of_line
from custom_bert.estimator.shares import look_like_shares, read_shares


class Columns:
    """A table with named columns, as pandas has it."""

    def __init__(self, columns: list[str], values: np.ndarray) -> None:
        self.columns, self.shape, self._values = columns, values.shape, values

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self._values


SHARES = np.array([[0.1, 0.2, 0.7], [0, 3, 1], [0.5, 0.5, 0]])


def test_arrays_sparse_matrices_tables_lists_and_dicts_are_one() -> None:
    for given in (SHARES, csr_matrix(SHARES), SHARES.tolist()):
        assert read_shares(given).lines() == ["0:0.1\t1:0.2\t2:0.7", "1:3.0\t2:1.0", "0:0.5\t1:0.5"]
    named = read_shares(Columns(["c", "a", "b"], SHARES))
    assert named.labels.classes.tolist() == ["c", "a", "b"] and named.lines()[1] == "a:3.0\tb:1.0"
    dicts = read_shares([{"b": 1}, {"a": np.float32(0.25), "b": 0.75}])
    assert dicts.labels.classes.tolist() == ["a", "b"] and dicts.lines() == ["b:1.0", "a:0.25\tb:0.75"]
    assert dicts.some(np.array([1])).lines() == ["a:0.25\tb:0.75"]


def test_what_is_written_is_read_again_exactly() -> None:
    rows = np.random.default_rng(0).dirichlet([0.3] * 3, 50)
    for line, row in zip(read_shares(rows).lines(), rows, strict=True):
        assert np.allclose(shares_of_line(line, "\t", int).shares, row[row > 0], rtol=1e-14)


def test_each_of_the_tied_labels_is_right_and_an_unknown_one_is_not() -> None:
    given = read_shares(SHARES)
    assert given.are_largest(np.array([2, 1, 1])).tolist() == [True, True, True]
    assert given.are_largest(np.array([1, 2, 2])).tolist() == [False, False, False]
    assert given.are_largest(np.array([9, 1, 0])).tolist() == [False, True, True]


def test_only_tables_and_dicts_look_like_shares() -> None:
    assert look_like_shares(SHARES) and look_like_shares([{"a": 1}]) and look_like_shares([[0.1, 0.9]])
    assert not look_like_shares(["a", "b"]) and not look_like_shares(np.array([1, 2]))
    assert not look_like_shares(np.array([[1], [2]]))
