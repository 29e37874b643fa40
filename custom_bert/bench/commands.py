"""The commands of `custom-bert bench`. They need no extra to be installed, and import torch when they run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from custom_bert.bench.parts import PARTS, Part
from custom_bert.config import Size, TrainConfig, replace
from custom_bert.config_sources import load
from custom_bert.errors import ConfigError
from custom_bert.options.option import Command, Group, Mark
from custom_bert.terminal import say


@dataclass(frozen=True, kw_only=True)
class _Measurement(Command):
    out: Annotated[str, Mark(word="FILE", path=True)]
    """File for the record. FILE.json holds the figures, FILE.md tables and, for most measurements, FILE.svg a
    picture. Existing files are never overwritten."""
    device: Literal["cpu", "cuda"] | None = None
    """Device to measure. Without this option it is cuda if there is a CUDA device, else cpu."""
    quick: bool = False
    """Take a few minutes only, to see that it works."""
    repeats: Annotated[int | None, Mark(least=1)] = None
    """How often everything is measured, in turn. Without this option it is 5 times, for scaling 3 times."""

    def prepared(self, device: str | None = None) -> dict[str, Any]:
        """The arguments that all measurements share, after a check that the record can be written.

        Args:
            device: the device to measure if no option names one.

        Raises:
            ConfigError: if one of the files exists already.
            WriteError: if the folder cannot be written to.
        """
        from custom_bert import files, machine
        from custom_bert.bench.measure import as_given

        chosen = machine.choose_device(self.device or device)[0].type
        for path in self.written():
            if path.exists():
                raise ConfigError([f"{path}: exists already and is not overwritten; choose another --out"])
        files.check_writable(self.written()[0].parent)
        return {
            "command": as_given(self.given.command, self.given.words),
            "device": chosen,
            "quick": self.quick,
            "repeats": self.repeats,
            "out": self.written()[0],
            "say": say,
        }

    def written(self) -> list[Path]:
        """The paths of the record: JSON, tables, and a picture, which not every measurement draws."""
        out = Path(self.out)
        json = out if out.suffix == ".json" else out.with_name(f"{out.name}.json")
        return [json, json.with_suffix(".md"), json.with_suffix(".svg")]

    def measure(self) -> None:
        """Measures and writes the record."""
        raise NotImplementedError

    def run(self) -> None:
        self.measure()
        say(", ".join(str(path) for path in self.written() if path.exists()))


@dataclass(frozen=True, kw_only=True)
class Ablation(_Measurement):
    """Measure what each improvement buys on this machine.

    Each is measured alone, taken out, and on the ladder from the original recipe to ours."""

    size: Size | None = None
    """Size of the model. Without this option it is mini on a CPU, base on CUDA."""
    only: tuple[Part, ...] = ()
    """Measure only these parts. Without this option all of them are measured."""

    def measure(self) -> None:
        from custom_bert.bench import ablation

        ablation.run(**self.prepared(), size=self.size, parts=self.only or PARTS)


@dataclass(frozen=True, kw_only=True)
class Scaling(_Measurement):
    """Measure how time and memory grow with text length, model size, threads and number of examples."""

    def measure(self) -> None:
        from custom_bert.bench import scaling

        scaling.run(**self.prepared())


@dataclass(frozen=True, kw_only=True)
class Roofline(_Measurement):
    """Measure what share of the machine's own rate of matrix products a training step reaches."""

    def measure(self) -> None:
        from custom_bert.bench import roofline

        roofline.run(**self.prepared())


@dataclass(frozen=True, kw_only=True)
class Tune(_Measurement):
    """Measure which settings train fastest on this machine, on your own texts.

    What is faster and learns the same is printed, ready to paste."""

    data: Annotated[str | None, Mark(word="DATA", positional=True, path=True)] = None
    """Folder with the data files. Without it, the files are those of --config."""
    config: Annotated[str | None, Mark(word="FILE", path=True)] = None
    """A config.py with get_config(), or a JSON file, with the settings to start from."""

    def measure(self) -> None:
        from custom_bert.bench import tune

        config = self.settings()
        tune.run(config, **self.prepared(config.runtime.device))

    def settings(self) -> TrainConfig:
        """The settings to start from.

        Raises:
            ConfigError: if they cannot be used.
        """
        from custom_bert.data.reading import in_directory
        from custom_bert.tasks.registry import TASKS

        config = load(self.config or {}, note=say)
        if self.data is None:
            return config
        if "data.train_texts" in TASKS[config.task].unread:
            raise ConfigError([f"bench tune: task {config.task} reads data.corpus; leave DATA out"])
        return replace(config, in_directory(self.data))


BENCH = Group(
    about="Measure this machine: what each improvement buys, how time and memory grow, what is fastest.",
    commands={"ablation": Ablation, "scaling": Scaling, "roofline": Roofline, "tune": Tune},
)
