"""The table of targets: what was wanted, what the newest records have, and why what is missed is missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from record_tables import NO_TOKEN_LEFT_OUT, table
from target_figures import (
    AMX,
    BF16,
    FP32,
    SLOWER,
    Got,
    above_n_grams,
    above_the_trainer,
    fine_tuning,
    masked,
    memory_of_custom,
    on,
    peers,
    ratios,
    seconds,
    shares,
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A row of the table."""

    wanted: str
    least: str
    got: Callable[[], list[Got]] = field(default=lambda: [])
    why: str = ""
    sets: int = 0
    """The number of data sets that are wanted, if some may not have been measured."""


INT8 = "C7: ONNX int8 against the pipeline in fp32"
INT8_SORTED = "C7: ONNX int8 against ONNX Runtime int8, sorted"
S4 = "S4 custom-bert-runtime, its ONNX export"
DEFAULTS = "C1: dropout 0.1 on both sides, HF otherwise at its defaults, 256x4"
TARGETS = (
    Target(
        wanted="Default command above its own n-grams, points of accuracy",
        least="-0.3 on each of 6 sets",
        sets=6,
        got=above_n_grams,
    ),
    Target(
        wanted="Default command above the Trainer from the same checkpoint, points of accuracy",
        least="-0.3 on each of 6 sets",
        sets=6,
        got=above_the_trainer,
    ),
    Target(
        wanted="Fine-tuning MiniLM, speed against the Trainer at its best",
        least="1.7 on each set",
        got=fine_tuning(lambda us, them: them["seconds"] / us["seconds"], lambda x: x >= 1.7),
        why="Faster steps do not shorten start-up, tokenising and evaluations in fp32.",
    ),
    Target(
        wanted="The same, peak memory",
        least="at most 0.6 on each set",
        got=fine_tuning(lambda us, them: us["peak_mb"] / them["peak_mb"], lambda x: x <= 0.6),
        why="Freed memory is kept, because giving it back costs a tenth of the time.",
    ),
    Target(
        wanted="Training from scratch, speed against the Trainer's defaults, dropout 0.1",
        least="4",
        got=on("peers_256x4", DEFAULTS, 4, ("AMX", AMX), ("bf16", BF16), ("no bf16", FP32)),
        why="Without bf16 both sides are bound by the same fp32 products.",
    ),
    Target(
        wanted="The same against its best settings, dropout 0.1",
        least="1.3; 1.15 at 768 wide",
        got=peers("C2: against HF's best, dropout 0.1"),
        why="With AMX, and in wide encoders, most of the time is what both sides compute alike.",
    ),
    Target(
        wanted="The same without dropout",
        least="1.3; 1.15 at 768 wide",
        got=peers("C2: against HF's best, dropout 0", fp32=False),
        why="A part of the lead is cheaper dropout, which this comparison leaves out.",
    ),
    Target(
        wanted="Share of the machine's rate of matrix products that a training step reaches, %",
        least="65, 75, 85 at 256, 384, 768 wide",
        got=shares,
        why="Measured before fused kernels. Copies, casts, GELU and norms lie between the products.",
    ),
    Target(
        wanted="Masked language modelling, speed against the Trainer's defaults",
        least="5",
        got=masked("C4: against HF's defaults", 5),
        why="The wider the encoder, the smaller the part in which only hidden tokens are computed.",
    ),
    Target(
        wanted="The same against its best settings, no dropout",
        least="2",
        got=masked("C4: against HF's best, no dropout", 2),
    ),
    Target(
        wanted="Speed to 72 % on SST-2 from scratch, both sides tuned",
        least="1.5",
        got=on("time_to_accuracy_sst2", "C5: sst2, ours, tuned, against HF tuned", 1.5, ("", SLOWER)),
    ),
    Target(
        wanted="The same against the Trainer's defaults, which do not get there in 45 s",
        least="3",
        got=on(
            "time_to_accuracy_sst2", "C5: sst2, ours, tuned, against HF defaults", 3, ("at least", SLOWER)
        ),
    ),
    Target(
        wanted="Prediction with MiniLM, ours in bf16, transformers' pipeline in fp32",
        least="3.5",
        got=on(
            "prediction_minilm", "C7: bf16 against the pipeline in fp32", 3.5, ("AMX", AMX), ("bf16", BF16)
        ),
    ),
    Target(
        wanted="Prediction with MiniLM from an ONNX directory in int8, transformers' pipeline in fp32",
        least="3.5",
        got=ratios([("bf16", f"{SLOWER}/onnx_prediction_202611", INT8, 3.5)]),
    ),
    Target(
        wanted="The same against ONNX Runtime in int8, texts sorted by length",
        least="1.3",
        got=ratios([("bf16", f"{SLOWER}/onnx_prediction_202611", INT8_SORTED, 1.3)]),
    ),
    Target(
        wanted="Prediction in bf16 against ONNX Runtime in int8",
        least="1",
        got=on("prediction_minilm", "C7: bf16 against ONNX Runtime in int8", 1, ("AMX", AMX)),
    ),
    Target(
        wanted="`custom` against `legacy`, speed, no token left out",
        least="8",
        got=on(
            "ablation",
            f"AG News lengths: {': '.join(NO_TOKEN_LEFT_OUT)}",
            8,
            ("AMX", AMX),
            ("no bf16", FP32),
        ),
        why="Without bf16 there is no mixed precision to gain from.",
    ),
    Target(wanted="The same, peak memory", least="at most 0.4", got=memory_of_custom),
    Target(
        wanted="Kernel fusion on a CPU, speed",
        least="1",
        got=ratios(
            [
                (f"{width} wide, {where}", f"{SLOWER}/fusion_202611", f"K1-d{width} {where}", 1)
                for width in (256, 384)
                for where in ("alone", "in custom")
            ]
        ),
    ),
    Target(
        wanted="Seconds to `--help`, and to the first step with tokenised texts",
        least="at most 0.2 and 3",
        got=seconds(
            [
                ("help", "cpu2amx/startup_202611", "S1: custom-bert --help", 0.2),
                ("step", "cpu2amx/startup_202611", "S1: the first step, texts tokenised before", 3),
            ]
        ),
    ),
    Target(
        wanted="Seconds until a run predicts, 10,000 and 1,000,000 lines",
        least="at most 30 and 300",
        got=seconds(
            [
                ("10,000:", "cpu2zen4/ready_202611", "S3 10,000", 30),
                ("1,000,000:", "cpu2zen4/ready_202611", "S3 1,000,000, 10 minutes", 300),
            ]
        ),
    ),
    Target(
        wanted="Share of a run's time that checkpoints take",
        least="at most 0.035",
        got=seconds(
            [
                ("256 wide", "cpu2/checkpoint_cost_202611", "A12, 256x4", 0.035),
                ("768 wide", "cpu2avx2/checkpoint_cost_768x12_202611", "A12, 768x12", 0.035),
            ]
        ),
    ),
    Target(
        wanted="Pretraining, fine-tuning, small encoders and memory on an H200 GPU",
        least="40 % of its rate; 1.5; 2.5; 0.45",
        why="Nothing is measured on a GPU yet.",
    ),
    Target(
        wanted="ONNX directory, seconds to the first label",
        least="at most 1",
        got=seconds(
            [
                ("fp32", "cpu2zen4/first_label_202611", S4, 1),
                ("int8", "cpu2zen4/first_label_int8_202611", S4, 1),
            ]
        ),
    ),
    Target(
        wanted="Server, requests a second against LitServe at its fastest batching",
        least="1.5",
        got=ratios(
            [
                (
                    f"{clients} clients",
                    f"{SLOWER}/serving_202611",
                    f"serving: ours / LitServe, {clients} clients",
                    1.5,
                )
                for clients in (8, 64, 256)
            ]
        ),
        why="With 8 clients batches are small on both sides.",
    ),
)


def targets() -> list[str]:
    """A row for each target: what was wanted, the figures, and whether they are enough."""
    rows = []
    for one in TARGETS:
        got = one.got()
        met = sum(figure.enough for figure in got)
        verdict = "not measured" if not got else "met" if met == len(got) else f"{met} of {len(got)} met"
        verdict = "missed" if got and not met else verdict
        if verdict == "met" and len(got) < one.sets:
            verdict = f"met on {len(got)}, the other {one.sets - len(got)} not measured"
        cells = [one.wanted, one.least, ", ".join(figure.cell() for figure in got), f"**{verdict}**"]
        rows.append([*cells, one.why if verdict[:3] != "met" else ""])
    return table(["what", "wanted", "got", "", "why not"], rows)
