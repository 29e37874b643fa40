"""Usual names of a table's columns: a file made from a table may begin with one."""

from __future__ import annotations

import re
from collections.abc import Collection

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
"""Of the rows' numbers, and of none."""

HEADER_WAY_OUT = "if so, remove the first line of both files"


def names_columns(line: str, names: Collection[str] = LABEL_COLUMNS) -> bool:
    """Whether a line holds usual names of columns and nothing else, at least one of them among `names`."""
    if len(line) > 200:
        return False
    fields = [
        re.sub(r"[\s.-]+", "_", field.strip().strip("\"'").casefold()) for field in re.split(r"[,;|\t]", line)
    ]
    known = LABEL_COLUMNS | TEXT_COLUMNS | OTHER_COLUMNS
    return known.issuperset(fields) and any(field in names for field in fields)


def header_hint(where: str, label: str) -> str:
    """What an unknown label on the first line of a file suggests; `where` is path:line."""
    if where.endswith(":1") and names_columns(label):
        return f"; it looks like a header: {HEADER_WAY_OUT}"
    return ""
