"""A few hundred hostile requests: right codes, nobody is stopped, and nothing is a mistake of ours."""

from collections import Counter

import numpy as np
from hostile_requests import code_of, hostile
from served import running

from custom_bert.server.limits import Limits

TOKEN = "a1b2c3d4e5f6a7b8c9d0"
LIMITS = Limits(texts=1_000, characters=200_000, reading_seconds=5.0)


def test_hostile_requests_get_their_codes_and_stop_nobody() -> None:
    seen: Counter[str] = Counter()
    with running(limits=LIMITS, token=TOKEN) as server:
        for number in range(400):
            request = hostile(np.random.Generator(np.random.PCG64([7, number])), LIMITS, TOKEN)
            seen[request.name] += 1
            client = server.client()
            request.act(client)
            if request.codes:
                code = code_of(client)
                assert code in request.codes, (number, request.name, code)
            client.close()
            if number % 20 == 0:
                good = server.ask("/predict", {"text": "good"}, Authorization=f"Bearer {TOKEN}")
                assert good.json["predictions"][0]["label"] == "good"
        assert server.mistakes == []
        assert server.application.joiner.jobs == 0
    assert len(seen) > 25, "every kind has its turn"
