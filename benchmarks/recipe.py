"""Does another optimizer or batch size learn more in the same time?

    python benchmarks/recipe.py --text FILE --minutes 3 --seeds 2

Every side trains masked language modelling on FILE (`docs/how-to/pretrain.md`) for the same time, in a fresh
process and in turn. It has the defaults of the product except for the change that its name states. The
optimizers are the fused AdamW of the product; StableAdamW (Wortsman et al. 2023, arXiv 2304.13013, algorithm
2), which makes a tensor's step smaller if its gradients are larger than its moments predict; and Muon (Jordan
et al. 2024, https://kellerjordan.github.io/posts/muon) for the layers' matrices, with AdamW for all other
parameters. Muon's step has the same root mean square as AdamW's (Liu et al. 2025, arXiv 2502.16982), and all
matrices of one shape share the Newton-Schulz iteration. Where a side's name does not say how many tokens a
step has, it has as many as the product chooses for this amount of text.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from common import begin, metrics_of, options_of
from torch import Tensor

from custom_bert.bench.measure import in_child, markdown, shown, write_record
from custom_bert.rules.choices import pretrain_learning_rate

QUESTION = "Optimizers and batch sizes of masked language modelling at equal time"
SIDES: dict[str, dict[str, Any]] = {
    "AdamW": {},
    "StableAdamW": {"optimizer": "StableAdamW"},
    "Muon": {"optimizer": "Muon"},
    "Muon, twice the rate": {"optimizer": "Muon", "rate": 2.0},
    "AdamW, twice the rate": {"rate": 2.0},
    "4,096 tokens a step": {"batch.token_budget": 4096},
    "2,048 tokens a step": {"batch.token_budget": 2048},
    "1,024 tokens a step": {"batch.token_budget": 1024},
    "Muon, twice the rate, 4,096 tokens a step": {
        "optimizer": "Muon",
        "rate": 2.0,
        "batch.token_budget": 4096,
    },
}
BASELINE = "AdamW"


class Changed(torch.optim.AdamW):
    """An AdamW that takes from the training step what the fused one takes: the divisor of the gradients, and
    whether to skip the step."""

    divisor: Tensor | None = None
    skip: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Updates the parameters, unless a gradient is not finite."""
        if self.skip is None or not float(self.skip):
            self.update()

    def update(self) -> None:
        """Changes the parameters; each subclass has its own rule."""
        raise NotImplementedError

    def gradient(self, parameter: Tensor) -> Tensor:
        """A parameter's gradient, divided as the training step demands."""
        assert parameter.grad is not None
        return parameter.grad if self.divisor is None else parameter.grad / self.divisor


class StableAdamW(Changed):
    """AdamW whose learning rate is divided, tensor by tensor, by max(1, RMS of gradient / sqrt(moment))."""

    def update(self) -> None:
        """Updates one parameter after the other; unlike torch's AdamW it is not fused."""
        for group in self.param_groups:
            (beta1, beta2), lr, eps = group["betas"], group["lr"], group["eps"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient, state = self.gradient(parameter), self.state[parameter]
                state["step"] += 1
                count = int(state["step"])
                state["exp_avg"].lerp_(gradient, 1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                moment = state["exp_avg_sq"] / (1 - beta2**count)
                rms = float((gradient.square() / moment.clamp(min=eps**2)).mean().sqrt())
                rate = lr / max(1.0, rms)
                parameter.mul_(1 - rate * group["weight_decay"])
                scaled = moment.sqrt_().add_(eps)
                parameter.addcdiv_(state["exp_avg"], scaled, value=-rate / (1 - beta1**count))


class Muon(Changed):
    """Orthogonalised momentum for the layers' matrices, the fused AdamW for everything else."""

    MOMENTUM = 0.95
    matrices: frozenset[int] = frozenset()

    def update(self) -> None:
        """Updates the matrices, those of one shape at once, and then all other parameters by AdamW."""
        taken = []
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for group in self.param_groups:
            for parameter in group["params"]:
                if id(parameter) not in self.matrices or parameter.grad is None:
                    continue
                gradient = self.gradient(parameter)
                momentum = self.state[parameter]["exp_avg"].lerp_(gradient, 1 - self.MOMENTUM)
                ahead = gradient.lerp(momentum, self.MOMENTUM)  # Nesterov
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parts = 3 if len(parameter) == 3 * parameter.shape[1] else 1  # queries, keys, values
                for part, target in zip(ahead.chunk(parts), parameter.chunk(parts), strict=True):
                    by_shape[tuple(sorted(part.shape))].append((part, target))
                taken.append((parameter, parameter.grad))
                parameter.grad = None
        lr = self.param_groups[0]["lr"]
        for (_, longer), pairs in by_shape.items():
            wide = torch.stack([part if part.shape[1] == longer else part.T for part, _ in pairs])
            for update, (_, target) in zip(orthogonal(wide), pairs, strict=True):
                update = update if update.shape == target.shape else update.T
                target.sub_(update.to(target.dtype), alpha=0.2 * longer**0.5 * lr)
        self.grad_scale, self.found_inf = self.divisor, self.skip  # as torch calls them
        torch.optim.AdamW.step(self)
        for parameter, gradient in taken:
            parameter.grad = gradient


def orthogonal(wide_BMN: Tensor) -> Tensor:
    """(B, M, N), approximations of the closest matrices with orthonormal rows, for M at most N.

    It takes five steps of a Newton-Schulz iteration in bf16, with the coefficients of Jordan et al. 2024.
    """
    x = wide_BMN.bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = torch.baddbmm(3.4445 * x, torch.baddbmm(-4.7750 * square, square, square, alpha=2.0315), x)
    return x


def learn(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains once. Returns accuracy and loss of hidden tokens of held-out text at the end."""
    from custom_bert import train_model
    from custom_bert.training import optim, phases

    original = optim.make_optimizer

    def make(model: torch.nn.Module, **options: Any) -> torch.optim.Optimizer:
        plain = original(model, **options)
        kind = {"StableAdamW": StableAdamW, "Muon": Muon}.get(arguments.get("optimizer", ""))
        if kind is None:
            return plain
        changed = kind(plain.param_groups, betas=optim.BETAS, eps=optim.EPS, fused=kind is Muon)
        if isinstance(changed, Muon):
            layers = model.encoder.layers  # type: ignore[union-attr]
            changed.matrices = frozenset(id(p) for p in layers.parameters() if p.dim() == 2)  # type: ignore[union-attr]
        return changed

    phases.make_optimizer = make  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        settings = {**arguments["settings"], "floor": False, "out": f"{folder}/run"}
        result = train_model(settings)
        lines = metrics_of(Path(f"{folder}/run"))
    last = [x for x in lines if x["kind"] == "eval"][-1]
    epoch = [x for x in lines if x["kind"] == "pretrain"][-1]["epoch"]
    return {
        "accuracy": last["accuracy"],
        "loss": last["loss"],
        "steps": result.steps,
        "seconds": result.seconds,
        "epochs": epoch,
    }


def main() -> None:
    """Runs the sides in turn for each seed, and writes the record after each."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--size", default="256x4", help="width x layers")
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    options = parser.parse_args()
    width, layers = map(int, options.size.split("x"))
    sides = [BASELINE, *(side for side in options.sides if side != BASELINE)]
    raw: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as cache:
        common = {
            "task": "masked_lm",
            "data.corpus": [str(options.text.resolve())],
            "data.cache_dir": cache,
            "model.vocab_size": options.vocabulary,
            "model.hidden_size": width,
            "model.num_hidden_layers": layers,
        }
        rate, _ = pretrain_learning_rate(width, pretrained=False)
        for seed in range(options.seeds):
            for side in sides:
                about = dict(SIDES[side])
                settings = {**common, "seed": seed, "optim.max_minutes": options.minutes}
                settings["optim.lr"] = rate * about.pop("rate", 1.0)
                arguments = {"optimizer": about.pop("optimizer", "")}
                arguments["settings"] = {**settings, **about}
                raw[side].append(in_child([__file__], "learn", arguments))
                print(seed, side, raw[side][-1], flush=True)
            rows = [
                [
                    side,
                    shown([100 * run["accuracy"] for run in runs]),
                    shown([run["loss"] for run in runs], 3),
                    shown([run["steps"] for run in runs], 0),
                    shown([run["seconds"] / 60 for run in runs], 1),
                ]
                for side, runs in raw.items()
            ]
            write_record(
                options.out,
                question=f"{QUESTION}: {options.minutes:g} minutes, {options.size}, vocabulary "
                f"{options.vocabulary:,}",
                table=markdown(["side", "accuracy of hidden tokens, %", "loss", "steps", "minutes"], rows),
                data=options.text.parent.name,
                raw=raw,
            )


if __name__ == "__main__":
    begin(main, {"learn": learn})
