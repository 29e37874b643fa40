"""Only custom_bert/tasks knows which task it is: nobody else compares names, classes or kinds of target."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from custom_bert.config import TaskName

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "custom_bert"

NAMES = frozenset(get_args(TaskName))

KIND_FILES = (
    *("data/targets.py", "data/numbers.py", "data/labelled_texts.py", "data/running_text.py"),
    *("data/label_files.py", "data/number_files.py", "data/rank_files.py"),
    *("data/shares.py", "data/share_files.py"),
)
"""What is defined here beside protocols belongs to some tasks and not to others."""

MODELS = {
    *("SequenceClassifier", "ThresholdClassifier", "RankClassifier", "TokenTagger", "MaskedLanguageModel"),
}

SPOKEN = {
    "__init__.py": {"LabelsPrediction", "NumbersPrediction"},  # public names
    "config.py": NAMES,  # the setting's values
    "model_files/description.py": {"classification", "masked_lm"},  # what directories of older formats hold
    "decoding/registry.py": NAMES - {"masked_lm"},  # the decoder of each
    **{
        name: {"tokens"}
        for name in ("data/store.py", "data/tokenizer_parts.py", "bench/tune.py", "spans/json_spans.py")
    },  # a word
    "commands/training.py": {"masked_lm"},  # `pretrain` is `train` with this task
    "commands/starting.py": NAMES - {"masked_lm"},  # an option's values
}
"""Where the names of tasks are written down, to be handed on."""


def kinds() -> frozenset[str]:
    """Names of the classes of tasks, of their parts, and of the kinds of target and data that they have."""
    found = set(MODELS)
    for path in [*sorted((PACKAGE / "tasks").glob("*.py")), *(PACKAGE / name for name in KIND_FILES)]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and "Protocol" not in map(ast.unparse, node.bases):
                found.add(node.name)
    return frozenset(found - GENERAL)


GENERAL = {
    *("Task", "Gathering", "Learning", "Card", "CardFacts", "EncoderModel", "UnknownLabelError"),
    *("Measured", "Prediction", "Objective", "Scorer", "LabelLineError", "WeightedTargets"),
}
"""Classes of tasks/ that every task has."""


def violations(tree: ast.AST, allowed: frozenset[str] = frozenset()) -> list[str]:
    """What in a module depends on which task it is, in words."""
    forbidden, found = kinds(), []
    documented = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documented:
            if node.value in (NAMES | forbidden) - allowed:
                found.append(f"line {node.lineno}: the name {node.value!r} as text")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            found += [f"line {node.lineno}: {ast.unparse(node)}"] * bool(named(node.args[1]) & forbidden)
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            kind = any(named(side) & forbidden or identifies(side) for side in sides)
            found += [f"line {node.lineno}: {ast.unparse(node)}"] * bool(kind)
        elif isinstance(node, ast.MatchClass) and named(node.cls) & forbidden:
            found.append(f"line {node.lineno}: case {ast.unparse(node.cls)}")
    return found


def identifies(node: ast.AST) -> bool:
    """Whether an expression says which task it is, as `config.task` or `plan.task.head`."""
    if not isinstance(node, ast.Attribute):
        return False
    return node.attr == "task" or (node.attr in ("name", "head", "phase") and "task" in named(node.value))


def named(node: ast.AST) -> set[str]:
    """Every name in an expression, and the last part of every dotted one."""
    inside = list(ast.walk(node))
    return {one.id for one in inside if isinstance(one, ast.Name)} | {
        one.attr for one in inside if isinstance(one, ast.Attribute)
    }


def docstrings(tree: ast.AST) -> set[ast.AST]:
    """Strings that are statements: docstrings, and the texts beneath fields."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "tasks"]


@pytest.mark.parametrize("module", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_task_is_asked_for_outside_tasks(module: Path) -> None:
    allowed = frozenset(SPOKEN.get(str(module.relative_to(PACKAGE)), ()))
    assert violations(ast.parse(module.read_text(encoding="utf-8")), allowed) == []


@pytest.mark.parametrize(
    "code",
    [
        'if config.task == "masked_lm": ...',
        'kind = config.task\nif kind != "classification": ...',
        'if config.task in {"masked_lm", "x"}: ...',
        'LABELLED = ("classification", "multi_label")\nif config.task in LABELLED: ...',
        'steps = {"masked_lm": 1}.get(config.task, 2)',
        'match config.task:\n    case "multi_label": ...',
        "if config.task == other: ...",
        "if isinstance(plan.task, MaskedLanguageModelling): ...",
        "if isinstance(task, (registry.MultiLabel, Other)): ...",
        "if issubclass(kind, LabelledTask): ...",
        "if type(task) is Classification: ...",
        'if type(task).__name__ == "MultiLabel": ...',
        'if "ClassIds" in repr(targets): ...',
        "if isinstance(targets, ClassSets): ...",
        "if isinstance(source, RunningText): ...",
        "if isinstance(model, MaskedLanguageModel): ...",
        "if isinstance(objective, BinaryCrossEntropy): ...",
        "match task:\n    case MultiLabel(): ...",
        'if task.head == "sequence" + "_classification": ...',
        "found = [1 for one in tasks if one == Classification]",
    ],
)
def test_the_rule_sees_every_way_of_asking(code: str) -> None:
    assert violations(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        '"""classification: one label a text."""',
        "task = TASKS[config.task]",
        "if isinstance(value, Task): ...",
        "reader = READERS[task.head]",
        "found = isinstance(source, Dataset)",
        "model = MaskedLanguageModel(encoder)",
        'def f():\n    """masked_lm"""',
    ],
)
def test_the_rule_leaves_what_asks_nothing(code: str) -> None:
    assert not violations(ast.parse(code))


def test_places_that_speak_of_tasks_exist_and_do() -> None:
    for name, spoken in SPOKEN.items():
        text = (PACKAGE / name).read_text(encoding="utf-8")
        assert all(f'"{one}"' in text for one in spoken), name
