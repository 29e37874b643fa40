"""The peer FastAPI, as its tutorial has it: a function that computes what one request asks for.

python fastapi_server.py DIRECTORY MAX_LENGTH PORT THREADS
"""

from __future__ import annotations

import sys
import threading

import torch
import uvicorn
from fastapi import FastAPI
from model import Model
from pydantic import BaseModel

DIRECTORY, MAX_LENGTH, PORT, THREADS = sys.argv[1], *map(int, sys.argv[2:5])


class Question(BaseModel):
    """A request."""

    texts: list[str]


class Prediction(BaseModel):
    """The answer for one text."""

    label: str
    probability: float


class Answer(BaseModel):
    """The answer."""

    predictions: list[Prediction]


torch.set_num_threads(THREADS)
MODEL, APP, TURN = Model(DIRECTORY, MAX_LENGTH), FastAPI(), threading.Lock()


@APP.get("/health")
def health() -> dict[str, str]:
    """Says that the server is there."""
    return {"status": "ok"}


@APP.post("/predict")
def predict(question: Question) -> Answer:
    """Computes for one request at a time: several at once would share the same cores."""
    with TURN:
        return Answer(predictions=[Prediction(**one) for one in MODEL.predict(question.texts)])


if __name__ == "__main__":
    uvicorn.run(APP, host="127.0.0.1", port=PORT, log_level="error")
