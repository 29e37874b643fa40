"""The shape of the code: imports point downward, starting is cheap, nothing loads pickles."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "custom_bert"

LAYERS = {
    "errors": 0,
    "phrases": 0,
    "config": 0,
    "config_sources": 0,
    "config_values": 0,
    "config_checks": 0,
    "attention_kernels": 0,
    "files": 0,
    "places": 0,
    "signals": 0,
    "terminal": 0,
    "torch_internals": 1,
    "layout": 1,
    "process": 0,
    "cgroups": 0,
    "threads": 0,
    "batch": 1,
    "presets": 1,
    "openmp": 1,
    "options": 1,
    "ranges": 0,
    "rounding": 0,
    "metrics": 1,
    "label_metrics": 1,
    "share_metrics": 1,
    "number_metrics": 1,
    "rank_metrics": 1,
    "machine": 1,
    "precision": 2,
    "reports": 2,
    "rules": 2,
    "ops": 2,
    "floor": 3,
    "models": 3,
    "data": 3,
    "decoding": 4,
    "spans": 4,
    "onnx_model": 4,
    "tasks": 5,
    "model_files": 6,
    "training": 7,
    "inference": 7,
    "bench": 8,
    "bulk": 8,
    "estimator": 8,
    "server": 8,
    "templates": 8,
    "docs": 9,
    "commands": 9,
    "cli": 9,
    "__main__": 9,
}
SIBLINGS = {("models", "data"), ("data", "models"), ("training", "inference"), ("inference", "training")}
EXTRAS = {"transformers", "accelerate", "sentence_transformers", "tensorboard", "pytest"}
OPTIONAL = {("inference/exports/verify.py", "transformers")}
"""Imported where it is installed, and done without where it is not."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def unit_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(tree: ast.AST) -> list[str]:
    """Dotted names of every import, those inside functions and `if TYPE_CHECKING` included."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("module", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(module: Path) -> None:
    unit = unit_of(module)
    assert unit in LAYERS, f"{module}: give {unit!r} a layer"
    for name in imported_names(ast.parse(module.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if parts[0] != "custom_bert" or len(parts) < 2 or parts[1] == "__version__":
            optional = (str(module.relative_to(PACKAGE)), parts[0]) in OPTIONAL
            assert optional or parts[0] not in EXTRAS, f"{module} needs the extra {parts[0]}"
            continue
        target = parts[1]
        assert target in LAYERS, f"{module} imports {name}"
        assert LAYERS[target] <= LAYERS[unit], f"{module} reaches upward to {name}"
        assert (unit, target) not in SIBLINGS, f"{module} imports its sibling {name}"


def test_the_import_rule_sees_imports_inside_functions() -> None:
    tree = ast.parse("def f():\n    from custom_bert.cli import main\n")
    assert imported_names(tree) == ["custom_bert.cli.main"]


def dotted(module: Path) -> str:
    return ".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """The modules that each module imports, also inside functions and `if TYPE_CHECKING`.

    custom_bert itself is none of them: it holds public names, which are imported when they are used.
    """
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        graph[module] = set()
        for name in imported_names(ast.parse(source)):
            parents = (name.rsplit(".", cut)[0] for cut in range(name.count(".") + 1))
            graph[module] |= {next((parent for parent in parents if parent in sources), module)} - {module}
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The groups of modules each of which leads to every other by its imports."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = {start}
        while ahead:
            ahead = set().union(*(graph[module] for module in ahead)) - found
            found |= ahead
        return found

    leads_to = {module: reached(module) for module in graph}
    groups = {
        frozenset(other for other in leads_to[module] if module in leads_to[other])
        for module in graph
        if module in leads_to[module]
    }
    return sorted((set(group) for group in groups), key=sorted)


def test_no_modules_import_each_other() -> None:
    sources = {dotted(module): module.read_text(encoding="utf-8") for module in modules()}
    assert circles(import_graph(sources)) == []


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p import a",
        "from p.a import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import Name",
        "def f():\n    from p.a import name",
    ],
)
def test_the_rule_of_circles_sees_every_way_back(back: str) -> None:
    sources = {"p.a": "import p.b", "p.b": "from p.c import name", "p.c": back, "p.d": "import p.a, json"}
    assert circles(import_graph(sources)) == [{"p.a", "p.b", "p.c"}]
    assert circles(import_graph({**sources, "p.c": "import json"})) == []


FORBIDDEN = {
    "eval",
    "exec",
    "torch.load",
    "torch.save",
    "pickle",
    "yaml.load",
    "shell=True",
    "allow_pickle=True",
    "trust_remote_code=True",
}


@pytest.mark.parametrize("module", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_runs_code_from_files_but_the_users_config(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found = {name.split(".")[0] for name in imported_names(tree)} & {"pickle", "dill", "joblib", "shelve"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            arguments = {ast.unparse(keyword).strip() for keyword in node.keywords}
            found |= ({name} | arguments) & FORBIDDEN
    assert not found, f"{module}: {found}"


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout


@pytest.mark.parametrize(
    "name", ["custom_bert", "custom_bert.config", "custom_bert.cli", "custom_bert.files"]
)
def test_importing_loads_no_torch(name: str) -> None:
    loaded = run_python(
        f"import sys, {name}; print([m for m in ('torch', 'numpy', 'tokenizers') if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


WITHOUT_TORCH = {
    *(unit for unit, layer in LAYERS.items() if layer == 0),
    *("options", "commands", "reports", "rules", "presets", "metrics", "label_metrics", "share_metrics"),
    *("docs", "cli", "decoding", "spans", "floor", "onnx_model", "rounding"),
    "server",
}
"""Units whose modules load without torch. Commands import what needs it when they run."""


def test_help_reports_and_rules_load_no_torch() -> None:
    names = [dotted(module) for module in modules() if unit_of(module) in WITHOUT_TORCH]
    names = [name for name in names if not name.endswith("__main__")]
    assert len(names) > 50
    code = (
        f"import importlib, sys\nfor name in {names}:\n    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules:\n        print(name)\n        break"
    )
    assert run_python(code).strip() == ""


PREDICTING = (
    *("inference.classifier", "inference.scores", "inference.predict_table", "data.tokenizer"),
    *("bulk.request", "bulk.workers", "bulk.predictor"),
    *("inference.onnx_loading", "inference.embeddings"),
)
"""Modules on the way of `predict`, which has to work where torch is not installed."""


@pytest.mark.parametrize("name", PREDICTING)
def test_predicting_loads_no_torch_and_nothing_that_it_can_do_without(name: str) -> None:
    heavy = ("torch", "sklearn", "scipy", "rich", "pyarrow", "transformers")
    loaded = run_python(f"import sys, custom_bert.{name}; print([m for m in {heavy} if m in sys.modules])")
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("name", ["info", "page", "pictures", "tables"])
def test_reports_load_no_torch(name: str) -> None:
    loaded = run_python(f"import sys, custom_bert.reports.{name}; print('torch' in sys.modules)")
    assert loaded.strip() == "False"


def test_config_needs_the_standard_library_only() -> None:
    code = "import sys, custom_bert.config; print('\\n'.join(sorted({m.split('.')[0] for m in sys.modules})))"
    loaded = set(run_python(code).split()) - {"custom_bert"}
    bare = set(
        run_python("import sys; print('\\n'.join(sorted({m.split('.')[0] for m in sys.modules})))").split()
    )
    assert loaded - bare <= set(sys.stdlib_module_names)


def test_help_loads_no_torch_and_answers() -> None:
    code = "import sys; from custom_bert.cli import main; main(['--help']); print('torch' in sys.modules)"
    out = run_python(code)
    assert "check-data" in out and out.strip().endswith("False")


def test_importing_changes_no_global_setting() -> None:
    code = (
        "import torch, logging, os; before = (torch.get_default_dtype(), torch.get_num_threads(), "
        "logging.root.level, dict(os.environ)); "
        "import custom_bert.training.loop, custom_bert.inference.classifier; "
        "after = (torch.get_default_dtype(), torch.get_num_threads(), logging.root.level, dict(os.environ)); "
        "print(before == after)"
    )
    assert run_python(code).strip() == "True"


PRINTS = {"terminal.py", "process.py"}
"""What touches standard output and standard error; process.py has something stand where there is none."""


def prints(tree: ast.AST) -> set[str]:
    """Names by which something is printed past custom_bert.terminal, in whatever way they are used."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"print"}
    attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found | attributes & {f"sys.{name}" for name in ("stdout", "stderr", "__stdout__", "__stderr__")}


@pytest.mark.parametrize("module", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_everything_is_printed_by_the_module_that_knows_what_a_stream_can_show(module: Path) -> None:
    if str(module.relative_to(PACKAGE)) not in PRINTS:
        assert not prints(ast.parse(module.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "code", ["print('x')", "def f(say=print): ...", "sys.stdout.write('x')", "f(file=sys.stderr)"]
)
def test_the_printing_rule_sees_calls_and_references(code: str) -> None:
    assert prints(ast.parse(code))


def by_locale(tree: ast.AST) -> list[int]:
    """Lines of calls that read or write text in an encoding that they do not name."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        words = [given.get("mode", ""), *(ast.unparse(argument) for argument in node.args[:2])]
        text = False
        if name == "open" or name.endswith((".open", ".fdopen")):
            binary = any("b" in word for word in words if word[:1] in "'\"" and len(word) <= 5)
            text = not binary and not name.startswith(OPENERS)
        elif name.endswith((".read_text", ".write_text", "TextIOWrapper")):
            text = not name.startswith("files.")  # whose write_text writes UTF-8
        elif name.endswith("TemporaryFile"):
            text = "mode" in given and "b" not in given["mode"]
        elif {"text", "universal_newlines"} & given.keys():
            text = name.startswith("subprocess.")
        if text and "encoding" not in given:
            found.append(node.lineno)
    return found


OPENERS = ("os.open", "system.current.open", "current.open", "gzip.open", "webbrowser.")
"""Of descriptors and of bytes."""

SCRIPTS = [*modules(), *sorted((ROOT / "benchmarks").glob("*.py")), ROOT / "train.py", ROOT / "config.py"]


@pytest.mark.parametrize("module", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_read_or_written_as_the_locale_says(module: Path) -> None:
    assert not by_locale(ast.parse(module.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("path.open(mode='a')", True),
        ("path.read_text(errors='replace')", True),
        ("path.write_text('ü')", True),
        ("os.fdopen(3, 'w')", True),
        ("subprocess.run(command, text=True)", True),
        ("open(path, 'rb')", False),
        ("open(path, encoding='utf-8')", False),
        ("path.open('wb')", False),
        ("files.write_text(path, content)", False),
        ("subprocess.run(command, encoding='utf-8')", False),
        ("subprocess.run(command)", False),
    ],
)
def test_the_rule_of_encodings_sees_what_a_locale_decides(code: str, seen: bool) -> None:
    assert bool(by_locale(ast.parse(code))) == seen


WRITES = ("write", "ftruncate", "truncate", "fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir")
CHANGES = {f"os.{name}" for name in WRITES}
"""Calls that change a disk."""


def past_the_system(tree: ast.AST) -> set[str]:
    """What changes a disk without `system.current`, where no test of faults could stand between."""
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    kept = {name for name in imported_names(tree) if name == "custom_bert.files.system.current"}
    return calls & CHANGES | kept


@pytest.mark.parametrize("module", sorted((PACKAGE / "files").glob("*.py")), ids=lambda p: p.name)
def test_every_write_goes_through_the_system_that_tests_replace(module: Path) -> None:
    found = past_the_system(ast.parse(module.read_text(encoding="utf-8")))
    assert bool(found) == (module.name == "system.py"), found


def test_the_rule_of_writes_sees_a_copy_of_the_system_too() -> None:
    assert past_the_system(ast.parse("from custom_bert.files.system import current\n"))
    assert past_the_system(ast.parse("os.replace(a, b)"))
    assert not past_the_system(ast.parse("system.current.replace(a, b)"))


KEPT_PRIVATE = {
    ("errors.py", "sys._getframe"),
    ("signals.py", "os._exit"),
}
"""Of the standard library, where it has no other way."""

AGREEMENTS = {"grad_scale", "found_inf", "libtorch"}
"""Names without an underscore by which parts of torch agree among themselves."""


def hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(tree: ast.AST) -> set[str]:
    """What a module calls of somebody else's that is not made for others: underscores, however they are asked
    for, and agreements among torch's parts."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owned = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if (hidden(node.attr) and not owned) or node.attr in AGREEMENTS:
                found.add(ast.unparse(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            name = str(node.args[1].value) if isinstance(node.args[1], ast.Constant) else ""
            if name in AGREEMENTS or hidden(name):
                found.add(ast.unparse(node))
        elif isinstance(node, ast.Constant) and str(node.value).startswith(
            ("torch._", "libtorch", "_growth_tracker")
        ):
            found.add(str(node.value))
    names = [name for name in imported_names(tree) if any(map(hidden, name.split(".")))]
    return found | set(names)


@pytest.mark.parametrize("module", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_what_torch_does_not_promise_is_called_in_one_module(module: Path) -> None:
    name = str(module.relative_to(PACKAGE))
    kept = {private for file, private in KEPT_PRIVATE if file == name}
    found = private_names(ast.parse(module.read_text(encoding="utf-8")))
    assert found >= kept, f"{name}: what is not called any more is not kept either"
    assert bool(found - kept) == (name == "torch_internals.py"), (
        f"{name}: {found - kept}: see custom_bert/torch_internals.py"
    )


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("torch._softmax_backward_data(a, b, -1, t)", True),
        ("torch._dynamo.config.recompile_limit = 8", True),
        ("cpu = torch.cpu\ncpu._is_amx_tile_supported()", True),
        ("scaler._get_growth_tracker()", True),
        ("scaler.load_state_dict({'_growth_tracker': 3})", True),
        ("super()._save_to_state_dict(a, b, c)", True),
        ("from torch._dynamo.utils import counters", True),
        ("from torch import _C", True),
        ("import torch._inductor", True),
        ("getattr(torch, '_foreach_mul_')", True),
        ("'torch._dynamo' in sys.modules", True),
        ("optimizer.found_inf = skipped", True),
        ("setattr(optimizer, 'grad_scale', scale)", True),
        ("self._kept = torch.zeros(3)", False),
        ("torch.__version__", False),
        ("getattr(func, '__name__', '')", False),
        ("from __future__ import annotations", False),
        ("x.add_(1)", False),
    ],
)
def test_the_rule_of_private_names_sees_every_way_to_ask_for_one(code: str, seen: bool) -> None:
    assert bool(private_names(ast.parse(code))) == seen
