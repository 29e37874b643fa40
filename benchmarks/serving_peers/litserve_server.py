"""The peer LitServe, with its batching.

python litserve_server.py DIRECTORY MAX_LENGTH PORT THREADS BATCH_SIZE BATCH_TIMEOUT
"""

from __future__ import annotations

import sys

import litserve
import torch
from model import Model

DIRECTORY, MAX_LENGTH, PORT, THREADS, BATCH_SIZE = sys.argv[1], *map(int, sys.argv[2:6])
BATCH_TIMEOUT = float(sys.argv[6])


class Api(litserve.LitAPI):
    """Requests hold a list of texts; the texts of a batch of requests are computed together."""

    def setup(self, device: str) -> None:
        """Loads the model."""
        torch.set_num_threads(THREADS)
        self.model = Model(DIRECTORY, MAX_LENGTH)

    def decode_request(self, request: dict[str, list[str]]) -> list[str]:
        """Returns the texts of a request."""
        return request["texts"]

    def predict(self, batch: list[list[str]]) -> list[list[dict[str, object]]]:
        """Returns the answers to a batch of requests."""
        if BATCH_SIZE == 1:
            return self.model.predict(batch)  # type: ignore[arg-type, return-value]
        answers = iter(self.model.predict([text for texts in batch for text in texts]))
        return [[next(answers) for _ in texts] for texts in batch]

    def encode_response(self, output: list[dict[str, object]]) -> dict[str, object]:
        """Returns what JSON is made of."""
        return {"predictions": output}


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH_SIZE, batch_timeout=BATCH_TIMEOUT)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60, fast_queue=True)
    server.run(port=PORT, host="127.0.0.1", log_level="error", generate_client_file=False)
