"""Trains as config.py says: `python train.py`, or in Python

from train import train_model
import config
train_model(config)
"""

import sys
from pathlib import Path

from custom_bert.process import prepare_process

prepare_process()  # before torch is imported, since its libraries read environment variables only then

from custom_bert.training.loop import train_model  # noqa: E402

__all__ = ["train_model"]

if __name__ == "__main__":
    from custom_bert.cli import main

    # without --config, the settings are those of the config.py beside this file
    chosen = any(a.partition("=")[0] == "--config" for a in sys.argv)
    beside = [] if chosen else ["--config", str(Path(__file__).with_name("config.py"))]
    sys.exit(main(["train", *beside, *sys.argv[1:]]))
