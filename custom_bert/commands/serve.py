"""The command `serve`: a trained model answers over HTTP, and has a page to try it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from custom_bert.commands.common import Device, RunDirectory, warn_of_precision
from custom_bert.config import Precision
from custom_bert.errors import UserError
from custom_bert.options.option import Command, Mark
from custom_bert.server.limits import Limits
from custom_bert.terminal import complain, say


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Answer texts over HTTP, with a page to try them.

    POST /predict answers texts with labels and probabilities, POST /explain with the words that count, and
    POST /embed with vectors. GET /health and /metrics are for those who watch the server, /openapi.json is
    for programs, and the page is at /. Requests that come together are computed together.

    SIGTERM and Ctrl-C end the server when everything that it accepted is answered."""

    run_directory: RunDirectory
    """The run directory that train wrote, or a directory that export wrote."""
    port: Annotated[int, Mark(least=0)] = 8000
    """Port to listen at; 0 takes one that is free and prints it."""
    host: str = "127.0.0.1"
    """Address to listen at. Any address but this machine's own needs a token; 0.0.0.0 is all addresses."""
    token_file: Annotated[str | None, Mark(word="FILE", path=True)] = None
    """File with a token that requests have to bring, in the header Authorization: Bearer TOKEN. Without it,
    the token is in the environment, in CUSTOM_BERT_TOKEN, or there is none."""
    device: Device | None = None
    """Where to compute. Without this option it is cuda if there is a CUDA device, else cpu."""
    precision: Precision = "fp32"
    """Number format of matrix products. fp32 computes as an exported model does. bf16 and fp16 are for
    devices that compute in them."""
    encoder_only: bool = False
    """Predict with the encoder alone, as an exported model does. Otherwise encoder and floor predict
    together, if the run has an ensemble."""
    most_texts: Annotated[int, Mark(least=1)] = Limits.texts
    """Largest number of texts of a request."""
    most_characters: Annotated[int, Mark(least=1)] = Limits.characters
    """Largest number of characters of all texts of a request. It also decides how large its body may be."""
    queue: Annotated[int, Mark(least=1)] = Limits.queue
    """Largest number of requests that wait or are computed at one time. Others are refused with the code
    429."""
    wait: Annotated[float, Mark(word="SECONDS")] = Limits.seconds
    """Seconds for which a request may wait for its answer. After that it gets the code 503 or 504."""

    def run(self) -> None:
        from custom_bert.inference.chosen_model import ChosenModel
        from custom_bert.server.access import check_host, read_token
        from custom_bert.server.service import Serving, check_installed, serve

        if self.port > 65_535:
            raise UserError(f"--port must be at most 65535, got {self.port}")
        if not 0 < self.wait <= 3600:
            raise UserError(f"--wait must be above 0 and at most 3600 seconds, got {self.wait:g}")
        check_installed()
        token = read_token(self.token_file, lambda line: complain(f"warning: {line}"))
        check_host(self.host, token)
        model = ChosenModel(
            directory=self.run_directory,
            device=self.device,
            precision=self.precision,
            encoder_only=self.encoder_only,
        )
        limits = Limits(
            texts=self.most_texts, characters=self.most_characters, queue=self.queue, seconds=self.wait
        )
        serving = Serving(model=model, host=self.host, port=self.port, token=token, limits=limits)

        def loaded() -> None:
            warn_of_precision(self.precision, self.device)

        serve(serving, say=say, complain=complain, loaded=loaded)
