"""I1: bugs planted in a copy of the package; each has to be caught by the tests that are named beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from torture.experiment import Experiment, Trial

ROOT = Path(__file__).resolve().parents[2]
QUICK = "tests/torture/test_quick.py"


@dataclass(frozen=True)
class Bug:
    """A change of one place.

    Attributes:
        what: in words.
        file: below the package.
        old, new: the text that is there once, and what takes its place.
        test: a test file, with `-k` and an expression after a space.
    """

    what: str
    file: str
    old: str
    new: str
    test: str


BUGS = (
    Bug(
        "new files are not flushed",
        "files/durable.py",
        "        yield Sink(descriptor)\n        system.current.fsync(descriptor)\n",
        "        yield Sink(descriptor)\n",
        f"{QUICK} -k A5",
    ),
    Bug(
        "directories are not flushed",
        "files/system.py",
        "    descriptor = current.open(path, os.O_RDONLY)\n    try:\n        current.fsync(descriptor)\n",
        "    descriptor = current.open(path, os.O_RDONLY)\n    try:\n        pass\n",
        f"{QUICK} -k A5",
    ),
    Bug(
        "hashes are not compared",
        "training/manifest.py",
        "if true_size != size or files.sha256_of(stream) != digest:",
        "if true_size != size:",
        f"{QUICK} -k A6",
    ),
    Bug(
        "the oldest checkpoint is taken",
        "training/checkpoint.py",
        "key=_number, reverse=True)",
        "key=_number)",
        "tests/unit/training/test_checkpoint.py",
    ),
    Bug(
        "dropout begins anew",
        "training/state_tensors.py",
        '    torch.set_rng_state(generators["random.cpu"])\n',
        "    pass\n",
        f"{QUICK} -k A9",
    ),
    Bug(
        "a step is done twice after a stop",
        "training/phases.py",
        "steps_done=0 if ends else index + 1,",
        "steps_done=0 if ends else index,",
        f"{QUICK} -k A9",
    ),
    Bug(
        "moments begin anew",
        "training/state_tensors.py",
        "        put(tensor, stored[name])\n",
        "        pass\n",
        f"{QUICK} -k A9",
    ),
    Bug(
        "AdamW's step count begins anew",
        "training/state_tensors.py",
        '["step"].copy_(step)',
        '["step"].copy_(0 * step)',
        f"{QUICK} -k A9",
    ),
    Bug(
        "two trainers share a directory",
        "files/locks.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "tests/unit/training/test_checkpoint.py -k trained_into",
    ),
    Bug(
        "litter stays",
        "files/directories.py",
        "            if not LITTER.fullmatch(entry.name):\n",
        "            if True:\n",
        f"{QUICK} -k A2",
    ),
    Bug(
        "SIGTERM ends with success",
        "signals.py",
        "raise SystemExit(128 + self.number)",
        "raise SystemExit(0)",
        "tests/unit/test_signals.py",
    ),
    Bug(
        "the loss is divided by batches",
        "training/step.py",
        "objective.loss_sum(output, targets_of(batch)) / total",
        "objective.loss_sum(output, targets_of(batch)) / len(microbatches)",
        "tests/unit/training/test_step.py",
    ),
    Bug(
        "steps that are not finite count",
        "training/step.py",
        "clamp(min=1).float(), skipped",
        "clamp(min=1).float(), 0 * skipped",
        "tests/unit/training/test_step.py",
    ),
    Bug(
        "biases decay",
        "training/optim.py",
        "parameter.dim() >= 2 and",
        "parameter.dim() >= 1 and",
        "tests/unit/training/test_step.py",
    ),
    Bug(
        "the warm-up is left out",
        "rules/schedule.py",
        "return progress / warmup",
        "return 1.0",
        "tests/unit/training/test_schedule.py",
    ),
    Bug(
        "padding is attended to and tokens are not",
        "ops/matmul_attention.py",
        "masked_fill_(~mask, lowest)",
        "masked_fill_(mask, lowest)",
        "tests/unit/ops/test_attention.py",
    ),
    Bug(
        "keys beyond a block are attended to",
        "ops/matmul_attention.py",
        "            of_block[..., block.length :] = lowest\n",
        "            pass\n",
        "tests/unit/ops/test_attention.py",
    ),
    Bug(
        "queries are not scaled",
        "ops/kernels.py",
        "scores = (q * q.shape[-1] ** -0.5)",
        "scores = q",
        "tests/unit/ops/test_attention.py",
    ),
    Bug(
        "dropout does not make up for what it drops",
        "ops/dropout.py",
        "levels / (levels - dropped)",
        "1.0",
        "tests/unit/ops/test_dropout.py",
    ),
    Bug(
        "positions rotate the wrong way",
        "ops/rope.py",
        "torch.cat([-second, first], dim=-1)",
        "torch.cat([second, -first], dim=-1)",
        "tests/parity/test_transformers.py -k modern",
    ),
    Bug(
        "special tokens are masked",
        "data/masking.py",
        "ordinary_T = ~self._special_V[ids_T]",
        "ordinary_T = np.ones(used, dtype=bool)",
        "tests/unit/data/test_masking.py",
    ),
    Bug(
        "an error of the loader is swallowed",
        "data/loader.py",
        "            put(error)\n",
        "            return\n",
        "tests/unit/data/test_loader.py",
    ),
    Bug(
        "a torn token store is trusted",
        "data/store.py",
        "info.format == FORMAT and info.sha256 == _digest(directory, info)",
        "info.format == FORMAT",
        "tests/unit/data/test_store.py",
    ),
    Bug(
        "labels are numbered by first sight",
        "data/label_files.py",
        "return tuple(sorted(self.labels.names, key=label_order))",
        "return tuple(self.labels.names)",
        "tests/unit/data/test_dataset.py",
    ),
    Bug(
        "the last line is lost",
        "data/text.py",
        "        if pending:\n",
        "        if False:\n",
        "tests/unit/data/test_text.py",
    ),
    Bug(
        "predictions come in the order of length",
        "models/outputs.py",
        "        rows[np.concatenate([indices for indices, _ in parts])] = values\n",
        "        rows[: len(values)] = values\n",
        "tests/e2e/test_predict.py",
    ),
    Bug(
        "the worst weights are kept",
        "training/outcome.py",
        "better = worth > progress.best_metric",
        "better = worth < progress.best_metric or not progress.best_step",
        "tests/e2e/test_train_evaluate_predict.py",
    ),
)


def prepare_nothing(shared: Path) -> None:
    """Every bug's place must be there, once: else it is no bug."""
    for bug in BUGS:
        count = (ROOT / "custom_bert" / bug.file).read_text().count(bug.old)
        assert count == 1, f"{bug.what}: found {count} times in {bug.file}"


def caught(trial: Trial) -> None:
    """The named tests fail in a copy with the bug; the last trial is a copy without any, where all pass."""
    if trial.number == len(BUGS):
        for test in dict.fromkeys(bug.test for bug in BUGS):
            done = tested(copied(trial.directory / test.replace("/", " ")), test)
            assert done.returncode == 0, f"{test} fails by itself\n{done.stdout[-1500:]}"
        return
    bug = BUGS[trial.number]
    copy = copied(trial.directory)
    path = copy / "custom_bert" / bug.file
    path.write_text(path.read_text().replace(bug.old, bug.new))
    done = tested(copy, bug.test)
    assert done.returncode == 1, f"{bug.what}: {bug.test} ended with {done.returncode}\n{done.stdout[-1500:]}"


def copied(directory: Path) -> Path:
    """The repository, its code and tests."""
    copy = directory / "copy"
    leave_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "runs", "data")
    shutil.copytree(ROOT, copy, ignore=leave_out, symlinks=True, dirs_exist_ok=True)
    shutil.copytree(ROOT / "custom_bert" / "data", copy / "custom_bert" / "data", dirs_exist_ok=True)
    tests = ROOT / "tests" / "unit" / "data"
    shutil.copytree(tests, copy / "tests" / "unit" / "data", dirs_exist_ok=True)
    return copy


def tested(copy: Path, test: str) -> subprocess.CompletedProcess[str]:
    """What pytest says of a test there."""
    file, *selection = test.split(" ")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", file, *selection]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


EXPERIMENTS = (
    Experiment(
        "I1",
        f"{len(BUGS)} planted bugs: each caught by the test named for it",
        1,
        len(BUGS) + 1,
        prepare_nothing,
        caught,
    ),
)
