"""Finds header lines: a text or label file that was made from a table may begin with the name of a column."""

from __future__ import annotations

import re
from collections.abc import Collection

from custom_bert.data.lines import LINES, Wording

LABEL_COLUMNS = frozenset(
    (
        *("label", "labels", "label_id", "label_name", "label_text", "class", "classes", "class_id"),
        *(
            "class_name",
            "class_label",
            "target_class",
            "target_label",
            "true_label",
            "category",
            "categories",
            "target",
            "targets",
            "sentiment",
        ),
        *("polarity", "emotion", "intent", "topic", "tag", "tags", "rating", "stars", "score", "y"),
        *("标签", "类别", "情感"),
    )
)
TEXT_COLUMNS = frozenset(
    (
        *("text", "texts", "text_a", "text_b", "clean_text", "sentence", "sentences", "sentence1"),
        *("sentence2", "review", "reviews", "review_text", "comment", "comments", "title", "headline"),
        *("content", "body", "document", "documents", "description", "message", "utterance", "question"),
        *("query", "tweet", "input", "inputs", "data", "文本", "内容", "评论"),
    )
)
OTHER_COLUMNS = frozenset(("", "id", "idx", "index", "unnamed:_0"))
"""Names of columns with row numbers; "" and "unnamed:_0" are those that pandas writes for an index."""


def header_way_out(words: Wording) -> str:
    """Returns what to do about a header that was read as a text or a label."""
    return f"if so, remove the first {words.line}{words.of_both}"


def names_columns(line: str, names: Collection[str] = LABEL_COLUMNS) -> bool:
    """Returns whether a line holds only usual names of columns, and at least one that is in `names`."""
    if len(line) > 200:  # such a line is no list of names, and need not be split
        return False
    fields = [
        re.sub(r"[\s.-]+", "_", field.strip().strip("\"'").casefold()) for field in re.split(r"[,;|\t]", line)
    ]
    known = LABEL_COLUMNS | TEXT_COLUMNS | OTHER_COLUMNS
    return known.issuperset(fields) and any(field in names for field in fields)


def header_hint(where: str, label: str) -> str:
    """Returns a hint for an error about an unknown label: that it looks like a header, or "".

    Args:
        where: the place of the label, as path:line. Only a first line can be a header.
        label: the unknown label.
    """
    if where.endswith(":1") and names_columns(label):
        return f"; it looks like a header: {header_way_out(LINES)}"
    return ""
