"""Everything that is worth knowing of one GPU, in seven minutes, the most important first.

    PYTHONPATH=. python benchmarks/gpu.py --minutes 7

It needs torch, numpy, safetensors and tokenizers, and takes pytest and transformers where they are. Weights
and texts are random, so that nothing is fetched. Each section runs in a process of its own and is ended when
its time is over; every figure is in the record as soon as it is measured. Started again with the same record,
it goes on.
`--plan` prints which section begins in which minute, and `--rehearse` runs it all on a CPU, tiny.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "new" / "gpu.json"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One kind of training step.

    Attributes:
        width, layers: the encoder.
        rows: the number of tokens in a step, about.
        length: the tokens of each text; 0 for the lengths of AG News.
        texts: the number of texts in a step, where that is given instead of rows.
        plan: how texts become batches.
        masked: whether hidden tokens are predicted instead of labels.
        kernel: the attention kernel; "" for the rule's.
        precision: the number format of products.
        compiled: whether the MLPs are compiled.
        norm: the place of the norms: post is BERT's.
        skip_unread: whether the last layer leaves out what nothing reads.
    """

    width: int = 768
    layers: int = 12
    rows: int = 8192
    length: int = 0
    texts: int = 0
    plan: str = "uniform_length"
    masked: bool = False
    kernel: str = ""
    precision: str = "bf16"
    compiled: bool = False
    norm: str = "pre"
    skip_unread: bool = True


LEGACY = Cell(texts=32, plan="padded", kernel="naive", precision="fp32", norm="post", skip_unread=False)
CUSTOM = Cell(texts=32)
SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "flash attention": ({"kernel": "dense"}, {"kernel": "naive"}),
    "kernel fusion": ({"compiled": True}, {"compiled": False}),
    "mixed precision": ({"precision": "bf16"}, {"precision": "fp32"}),
    "uniform-length batching": ({"plan": "uniform_length"}, {"plan": "padded"}),
}
"""The four headline rows: what switches each on in legacy, and off in custom."""


def headline() -> dict[str, Cell]:
    """Each of the four alone against legacy, and removed from custom. Kernel fusion is no part of custom, so
    that it is added to it instead."""
    cells = {"legacy": LEGACY, "custom": CUSTOM}
    for name, (on, off) in SWITCHES.items():
        cells[f"legacy + {name}"] = replace(LEGACY, **on)
        adds = name == "kernel fusion"
        cells[f"custom {'+' if adds else '-'} {name}"] = replace(CUSTOM, **(on if adds else off))
    return cells


def defaults() -> dict[str, Cell]:
    """What the defaults reach, small and base, by the number of rows of a step."""
    cells = {}
    for (width, layers), rows in (((256, 4), (8192, 32_768, 131_072)), ((768, 12), (8192, 16_384, 65_536))):
        for many in rows:
            for plan in ("uniform_length", "packed"):
                cell = Cell(width=width, layers=layers, rows=many, plan=plan)
                cells[f"{width}x{layers} labels {plan} {many:,}"] = cell
            masked = Cell(width=width, layers=layers, rows=many, plan="packed", masked=True, length=512)
            cells[f"{width}x{layers} masked tokens packed at 512, {many:,}"] = masked
    return cells


def lengths() -> dict[str, Cell]:
    """Legacy and custom at 128 to 8,192 tokens, as many texts as make 8,192 tokens."""
    cells = {}
    for length in (512, 2048, 8192, 128):
        texts = max(1, 8192 // length)
        for name, cell in (("legacy", LEGACY), ("custom", CUSTOM)):
            cells[f"{name} at {length:,}"] = replace(cell, length=length, texts=texts)
        removed = replace(CUSTOM, kernel="naive", length=length, texts=texts)
        cells[f"custom - flash attention at {length:,}"] = removed
    return cells


@dataclass(frozen=True)
class Section:
    """A part of the measurement, in a process of its own.

    Attributes:
        seconds: the time that it may take of seven minutes.
        cells: returns its training steps, in order of importance.
        run: what it does instead of timing steps; None to time them.
    """

    seconds: int
    cells: Callable[[], dict[str, Cell]] | None = None
    run: Callable[[Work], Iterator[tuple[str, dict[str, Any]]]] | None = None


@dataclass(frozen=True)
class Work:
    """What a section is given.

    Attributes:
        device: "cuda" or, in a rehearsal, "cpu".
        tiny: whether it is a rehearsal.
        done: the names of what the record has already.
    """

    device: str
    tiny: bool
    done: frozenset[str] = frozenset()


def shrunk(cell: Cell) -> Cell:
    """A cell for a rehearsal, which a CPU computes in no time."""
    length = min(cell.length, 32)
    return replace(cell, width=32, layers=1, rows=256, texts=min(cell.texts, 4), length=length)


def tests(work: Work) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tests that need a GPU. Without pytest they are named as not run."""
    # without what other tests need, and with torch's warnings as warnings: its version may be another one
    options = ["-q", "-rA", "-p", "no:cacheprovider", "--noconftest", "-o", "filterwarnings=default"]
    command = [sys.executable, "-m", "pytest", *options, "tests/gpu"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    lines = ended.stdout.splitlines()
    kinds = ("PASSED", "FAILED", "ERROR", "SKIPPED")
    yield (
        "pytest",
        {
            "code": ended.returncode,
            "results": [line for line in lines if line.startswith(kinds)],
            "end": [*lines[-40:], *ended.stderr.splitlines()[-5:]] if ended.returncode else lines[-1:],
        },
    )


def roofline(work: Work) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rates of products by shape and type, of copies, and of launches."""
    import torch

    from custom_bert.bench.roofline import gemm_rate
    from custom_bert.machine import wait_for

    device = torch.device(work.device)
    for width in (32,) if work.tiny else (256, 384, 768):
        for rows in (256,) if work.tiny else (8192, 131_072):
            for dtype in (torch.bfloat16, torch.float32):
                rate = gemm_rate(rows, width, dtype, device, tries=5)
                yield f"products {width} wide, {rows:,} rows, {dtype}", {"tflops": rate / 1e12}

    def timed(run: Callable[[], Any], times: int) -> float:
        run()
        wait_for(device)
        begun = time.perf_counter()
        for _ in range(times):
            run()
        wait_for(device)
        return (time.perf_counter() - begun) / times

    size = (1 << 16) if work.tiny else (1 << 28)
    x = torch.empty(size, dtype=torch.float32, device=device)
    y = torch.empty_like(x)
    yield "copy on the device", {"bytes_per_second": 8 * size / timed(lambda: y.copy_(x), 10)}
    few = torch.zeros(8, device=device)
    yield "launches", {"per_second": 1 / timed(lambda: few.add_(1), 2000)}
    if device.type == "cuda":
        host = torch.empty(8192 * 5, dtype=torch.int64).pin_memory()
        yield "batch to the device", {"seconds": timed(lambda: host.to(device, non_blocking=True), 500)}


def peers(work: Work) -> Iterator[tuple[str, dict[str, Any]]]:
    """transformers on the same texts: its defaults, and the best that is known of it."""
    import importlib.util

    if importlib.util.find_spec("transformers") is None:
        yield "transformers", {"not_measured": "transformers is not here"}
        return
    import numpy as np
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from custom_bert.bench.workloads import AG_NEWS

    shapes = ((32, 1),) if work.tiny else ((256, 4), (768, 12))
    device = torch.device(work.device)
    for width, layers in shapes:
        for name, best in (("default", False), ("best", True), ("best, compiled", True)):
            key = f"{width}x{layers} {name}"
            if key in work.done or (work.tiny and "compiled" in name):
                continue
            config = BertConfig(
                vocab_size=16_000,
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=max(1, width // 64),
                intermediate_size=4 * width,
                num_labels=4,
                hidden_dropout_prob=0.1,
                attention_probs_dropout_prob=0.0,
                attn_implementation="sdpa",
            )
            model = BertForSequenceClassification(config).to(device).train()
            compute = torch.compile(model, dynamic=True) if "compiled" in name else model
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=best)
            drawn = AG_NEWS.lengths(4096)
            # its defaults take texts in any order; its best sorts by length and takes more texts
            together = (8 if work.tiny else 128) if best else 8
            if best:
                drawn = np.sort(drawn)[::-1].reshape(-1, together)
                drawn = np.random.Generator(np.random.PCG64(0)).permutation(drawn).ravel()

            def step(number: int, *, lengths=drawn, together=together, best=best, compute=compute) -> int:  # type: ignore[no-untyped-def]
                begin = number * together % (len(lengths) - together)
                some = lengths[begin : begin + together]
                longest = -(-int(some.max()) // 64) * 64 if best else int(some.max())
                ids = torch.randint(5, 16_000, (together, longest)).to(device, non_blocking=True)
                inside = torch.arange(longest) < torch.from_numpy(np.array(some))[:, None]
                labels = torch.zeros(together, dtype=torch.int64)
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=best):
                    loss = compute(
                        input_ids=ids, attention_mask=inside.long().to(device), labels=labels.to(device)
                    ).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # noqa: B023
                optimizer.step()  # noqa: B023
                optimizer.zero_grad(set_to_none=True)  # noqa: B023
                return int(some.sum())

            yield key, timed_steps(step, device, work)


def timed_steps(step: Callable[[int], int], device: Any, work: Work) -> dict[str, Any]:
    """Runs some steps to warm up, then steps for a few seconds, and says how fast they were.

    Args:
        step: runs the step of a number, and returns its number of real tokens.
        device: where it runs.
        work: whether it is a rehearsal.
    """
    import torch

    from custom_bert.machine import wait_for

    warm, seconds = (1, 0.05) if work.tiny else (5, 2.5)
    begun = time.perf_counter()
    for number in range(warm):
        step(number)
    wait_for(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    tokens = steps = 0
    rates = []
    while time.perf_counter() - began < seconds or len(rates) < 3:
        since, read = time.perf_counter(), 0
        for _ in range(1 if work.tiny else 5):
            read += step(warm + steps)
            steps += 1
        wait_for(device)
        rates.append(read / (time.perf_counter() - since))
        tokens += read
    elapsed = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    return {
        "tokens_per_second": tokens / elapsed,
        "rates": [round(rate) for rate in rates],
        "ms_per_step": 1e3 * elapsed / steps,
        "tokens_per_step": tokens / steps,
        "warm_seconds": began - begun,
        "peak_bytes": peak,
    }


def steps_of(cells: Callable[[], dict[str, Cell]], work: Work) -> Iterator[tuple[str, dict[str, Any]]]:
    """Times the training steps of a section. What does not fit into memory is said to be so."""
    import torch

    from custom_bert.machine import is_out_of_memory

    for name, cell in cells().items():
        if name in work.done:
            continue
        cell = shrunk(cell) if work.tiny else cell
        try:
            yield name, {**time_cell(cell, work), "cell": asdict(cell)}
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                yield name, {"failed": str(error).splitlines()[0][:300], "cell": asdict(cell)}
                continue
            yield name, {"does_not_fit": True, "cell": asdict(cell)}
        if work.device == "cuda":
            torch.cuda.empty_cache()


def time_cell(cell: Cell, work: Work) -> dict[str, Any]:
    """Times one kind of training step, on batches that a thread builds as in training."""
    import torch

    from custom_bert.bench.roofline import training_flops
    from custom_bert.bench.workloads import AG_NEWS, SyntheticTexts
    from custom_bert.config import ModelConfig
    from custom_bert.data.batching import plan_batches
    from custom_bert.data.loader import Transform, prefetch
    from custom_bert.data.masking import Masker
    from custom_bert.models.heads import SequenceClassifier
    from custom_bert.models.masked_lm import MaskedLanguageModel
    from custom_bert.ops.attention import plan_ahead
    from custom_bert.precision import MixedPrecision
    from custom_bert.presets import encoder_config
    from custom_bert.tasks.classification import CrossEntropy
    from custom_bert.tasks.token_scorer import TokenCrossEntropy
    from custom_bert.training.compile import compile_layers
    from custom_bert.training.optim import make_optimizer
    from custom_bert.training.step import train_step

    device, vocabulary = torch.device(work.device), 30_000 if cell.masked else 16_000
    limit = cell.length or 256
    wishes = ModelConfig(
        hidden_size=cell.width,
        num_hidden_layers=cell.layers,
        num_attention_heads=max(1, cell.width // 64),
        norm=cell.norm,  # type: ignore[arg-type]
        hidden_dropout=0.1,
        attention_dropout=0.0,
    )
    preset: Any = "custom" if cell.norm == "pre" else "legacy"
    config = encoder_config(
        preset, wishes, vocab_size=vocabulary, pad_token_id=0, max_length=limit, default_shape=(0, 0)
    )
    classifier = SequenceClassifier(config, 4)
    model = (MaskedLanguageModel(classifier.encoder) if cell.masked else classifier).to(device).train()
    encoder = classifier.encoder
    kernel: Any = cell.kernel or None
    encoder.set_kernel(kernel)
    encoder.skip_unread = cell.skip_unread
    if cell.compiled and not work.tiny:
        compile_layers(encoder)
    optimizer = make_optimizer(model, lr=1e-4, weight_decay=0.01)
    mean = cell.length or 53
    rows = cell.texts * mean if cell.texts else cell.rows
    count = max(4 * rows // mean, 64)
    own = AG_NEWS.lengths(count) if not cell.length else replace_lengths(count, cell.length)
    texts = SyntheticTexts(own, vocabulary)
    builder = texts.builder(pin_memory=device.type == "cuda")
    if device.type == "cuda":
        flash = cell.precision != "fp32"
        builder = replace(builder, ahead=partial(plan_ahead, kernel=kernel, flash=flash))
    masker = Masker(4, (0, 1, 2, 3, 4), vocabulary, 0.3, 0) if cell.masked else None
    precision: Any = cell.precision
    mixed = MixedPrecision(precision, device)
    objective: Any = TokenCrossEntropy() if cell.masked else CrossEntropy()

    def batches() -> Iterator[Any]:
        epoch = 0
        while True:
            plan: Any = cell.plan
            fixed = (cell.texts or max(1, rows // limit)) if plan == "padded" else None
            some = plan_batches(
                own, plan, token_budget=max(rows, limit), batch_size=fixed, seed=0, epoch=epoch
            )
            build = partial(
                builder.build, plan=plan, max_length=limit, transform=Transform(masker=masker), epoch=epoch
            )
            yield from prefetch(some, build)
            epoch += 1

    stream, seen = batches(), [0, 0, 0]

    def step(number: int) -> int:
        batch = next(stream)
        train_step(model, optimizer, [batch], objective, precision=mixed, clip_norm=1.0)
        seen[0] += batch.num_rows
        seen[1] += batch.num_tokens
        seen[2] = seen[2] or training_flops(own[batch.indices].tolist(), cell.width, cell.layers)
        return int(batch.num_tokens)

    try:
        found = timed_steps(step, device, work)
    finally:
        stream.close()
    per_token = training_flops(own.tolist(), cell.width, cell.layers) / int(own.sum())
    return {
        **found,
        "padding": 1 - seen[1] / seen[0],
        "model_tflops": per_token * found["tokens_per_second"] / 1e12,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def replace_lengths(count: int, length: int) -> Any:
    """The lengths of texts that are equally long."""
    import numpy as np

    return np.full(count, length, dtype=np.int64)


SECTIONS: dict[str, Section] = {
    "tests": Section(80, run=tests),
    "headline": Section(90, cells=headline),
    "defaults": Section(95, cells=defaults),
    "roofline": Section(25, run=roofline),
    "peers": Section(70, run=peers),
    "lengths": Section(60, cells=lengths),
}
"""The sections, the most important first: 420 seconds in all."""


def child(name: str, work: Work) -> None:
    """Runs a section, and prints each figure as a line of JSON as soon as it is there."""
    section = SECTIONS[name]
    run = section.run or partial(steps_of, section.cells or dict)
    for key, value in run(work):  # type: ignore[arg-type]
        print(json.dumps({"name": key, "found": value}), flush=True)


def facts(device: str) -> dict[str, Any]:
    """The machine and its software."""
    import torch

    from custom_bert.machine import source_digest

    on_gpu = device == "cuda"
    name = torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()
    memory = torch.cuda.get_device_properties(0).total_memory if on_gpu else None
    return {
        "device": name,
        "device_bytes": memory,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "source": source_digest(),
    }


def measure(name: str, seconds: float, options: argparse.Namespace, entry: dict[str, Any]) -> None:
    """Runs a section in a process, for some seconds at most, and writes each of its figures into `entry`."""
    arguments = ["--child", name, "--device", options.device, "--done", json.dumps(sorted(entry["found"]))]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, __file__, *arguments, *(["--rehearse"] if options.rehearse else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        over = threading.Timer(seconds, lambda: os.killpg(process.pid, 9))
        over.start()
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr), daemon=True)  # type: ignore[arg-type]
        reader.start()
        for line in process.stdout:
            found = json.loads(line)
            entry["found"][found["name"]] = found["found"]
            options.write()
            print(f"  {found['name']}: {json.dumps(found['found'])[:150]}", flush=True)
        process.wait()
        in_time = over.is_alive()
        over.cancel()
        reader.join(5)
    if process.returncode == 0:
        entry["status"] = "done"
    else:
        entry["status"] = "failed" if in_time else "time is over"
        entry["why"] = [line.rstrip() for line in errors[-5:]]


def main() -> None:
    """Runs the sections that the record lacks, within the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="the record; what it has is not measured again")
    parser.add_argument("--minutes", type=float, default=7.0, help="the time for everything")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--plan", action="store_true", help="print what would begin when, and end")
    parser.add_argument("--rehearse", action="store_true", help="run it all on the CPU, tiny")
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=SECTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--done", type=json.loads, default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rehearse:
        options.device = "cpu"
    if options.child:
        child(options.child, Work(options.device, options.rehearse, frozenset(options.done)))
        return
    scale, at = 60 * options.minutes / sum(SECTIONS[name].seconds for name in options.sections), 0.0
    for name in options.sections:
        took = scale * SECTIONS[name].seconds
        print(f"minute {at / 60:.1f} to {(at + took) / 60:.1f}: {name}", flush=True)
        at += took
    if options.plan:
        return
    record: dict[str, Any] = {"script": "benchmarks/gpu.py", "sections": {}}
    if options.out.exists():
        record = json.loads(options.out.read_text(encoding="utf-8"))
    here = facts(options.device)
    if record.setdefault("machine", here) != here:
        raise SystemExit(f"{options.out}: the record is of another machine or source; choose another --out")
    options.out.parent.mkdir(parents=True, exist_ok=True)

    def write() -> None:
        new = options.out.with_suffix(".part")
        new.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        new.replace(options.out)

    options.write = write
    begun = time.perf_counter()
    for name in options.sections:
        entry = record["sections"].setdefault(name, {"status": "", "found": {}})
        if entry["status"] == "done":
            print(f"{name}: the record has it", flush=True)
            continue
        left = 60 * options.minutes - (time.perf_counter() - begun)
        # a section may take what earlier ones left over
        later = sum(SECTIONS[other].seconds for other in options.sections[options.sections.index(name) + 1 :])
        seconds = left - scale * later
        entry["began_s"], entry["planned_s"] = round(time.perf_counter() - begun, 1), round(seconds, 1)
        print(f"{name}: {seconds:.0f} s", flush=True)
        if seconds < 1:
            entry["status"] = "no time"
        else:
            measure(name, seconds, options, entry)
        entry["took_s"] = round(time.perf_counter() - begun - entry["began_s"], 1)
        write()
    print(options.out)


if __name__ == "__main__":
    main()
