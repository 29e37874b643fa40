"""The server at a real socket with a pretended model: answers, refusals, and nobody stops the others."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from served import Pretended, Running, request, running, until

from custom_bert.server.limits import Limits

TOKEN = "a1b2c3d4e5f6a7b8c9d0"
SMALL = Limits(texts=10, characters=1000, queue=3, seconds=20.0, reading_seconds=20.0)
HASTY = Limits(texts=10, characters=1000, queue=30, seconds=0.3, reading_seconds=0.3)


@pytest.fixture(scope="module")
def open_server() -> Iterator[Running]:
    with running(limits=SMALL) as one:
        yield one


@pytest.fixture(scope="module")
def hasty_server() -> Iterator[Running]:
    with running(limits=HASTY) as one:
        yield one


def texts_of(answer: Any) -> list[str]:
    assert answer.status == 200, answer
    return [prediction["label"] for prediction in answer.json["predictions"]]


def test_texts_are_answered_in_their_order(open_server: Running) -> None:
    assert texts_of(open_server.ask("/predict", {"texts": ["b", "a", "c"]})) == ["b", "a", "c"]
    assert texts_of(open_server.ask("/predict", {"text": "ä 😀 \u2028"})) == ["ä 😀 \u2028"]
    assert texts_of(open_server.ask("/predict", {"texts": []})) == []


def test_probabilities_are_asked_for_by_name(open_server: Running) -> None:
    answer = open_server.ask("/predict", {"text": "a", "probabilities": True})
    assert answer.json["predictions"][0]["kind"] == "probabilities"


def test_many_clients_get_their_own_answers_from_joined_batches() -> None:
    offer = Pretended()
    with running(offer) as server:
        offer.go.clear()
        clients = [server.client() for _ in range(40)]
        for number, client in enumerate(clients):
            client.send(request("/predict", {"texts": [f"{number} first", f"{number} second"]}))
        until(lambda: server.application.joiner.jobs == 40)
        offer.go.set()
        for number, client in enumerate(clients):
            assert texts_of(client.answer()) == [f"{number} first", f"{number} second"]
            client.close()
    assert len(offer.batches) < 10, "requests that wait are joined"


def test_a_full_queue_is_429_with_the_time_after_which_to_try_again() -> None:
    offer = Pretended()
    with running(offer, SMALL) as server:
        offer.go.clear()
        waiting = [server.client() for _ in range(3)]
        for client in waiting:
            client.send(request("/predict", {"text": "w"}))
        until(lambda: server.application.joiner.jobs == 3)
        refused = server.ask("/predict", {"text": "x"})
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert refused.json == {"error": "the queue is full; try again"}
        assert server.ask("/health").status == 200, "health does not wait in the queue"
        offer.go.set()
        for client in waiting:
            assert texts_of(client.answer()) == ["w"]
            client.close()
        assert texts_of(server.ask("/predict", {"text": "x"})) == ["x"]


def test_a_request_that_waits_too_long_is_503_and_one_that_computes_too_long_is_504() -> None:
    offer = Pretended()
    with running(offer, HASTY) as server:
        offer.go.clear()
        computed, waiting = server.client(), server.client()
        computed.send(request("/predict", {"text": "slow"}))
        until(lambda: offer.batches)
        waiting.send(request("/predict", {"text": "behind it"}))
        late = computed.answer()
        assert late.status == 504 and "after 0.3 s" in late.json["error"]
        late = waiting.answer()
        assert late.status == 503 and "retry-after" in late.headers
        offer.go.set()
        assert texts_of(computed.ask("/predict", {"text": "next"})) == ["next"], "late answers go nowhere"
        assert ["behind it"] not in offer.batches, "what nobody waits for is not computed"
        computed.close()
        waiting.close()


def test_what_is_computed_for_nobody_is_left_out() -> None:
    offer = Pretended()
    with running(offer) as server:
        offer.go.clear()
        first, second = server.client(), server.client()
        first.send(request("/predict", {"text": "stays"}))
        until(lambda: offer.batches)
        second.send(request("/predict", {"text": "goes"}))
        until(lambda: server.application.joiner.jobs == 2)
        second.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        second.close()  # it does not only close its side, which would be a client that waits
        until(lambda: server.application.joiner.jobs == 1)
        offer.go.set()
        assert texts_of(first.answer()) == ["stays"]
        assert server.application.measures.gone == 1
        first.close()
    assert offer.batches == [["stays"]]


@pytest.mark.parametrize(
    ("path", "body", "status", "line"),
    [
        ("/predict", b"{", 400, "the body is not JSON"),
        ("/predict", b"\xff", 400, "not UTF-8"),
        ("/predict", {"texts": ["a"] * 11}, 413, "at most 10 texts"),
        ("/predict", {"text": "a" * 1001}, 413, "at most 1,000 characters"),
        ("/predict", b"x" * 20_000, 413, "the body is too large; at most 13,104 bytes are read"),
        ("/predict", {"text": 1}, 422, "expected a text, got a number"),
        ("/predict", None, 405, "send a POST request"),
        ("/explain", {"text": "a" * 2001}, 413, "at most 2,000 characters"),
        ("/embed", {"text": "a"}, 501, "no vectors"),
        ("/health", {}, 405, "send a GET request"),
        ("/../etc/passwd", None, 404, "there is nothing here"),
        ("/predict/", {"text": "a"}, 404, "there is nothing here"),
        ("/%70redict", {"text": "a"}, 200, ""),
    ],
)
def test_each_refusal_has_its_code_and_one_line(
    open_server: Running, path: str, body: Any, status: int, line: str
) -> None:
    answer = open_server.ask(path, body)
    assert answer.status == status
    if line:
        assert list(answer.json) == ["error"] and line in answer.json["error"]
        assert "\n" not in answer.json["error"]


def test_a_mistake_of_ours_is_500_without_the_text_and_only_for_whom_it_concerns(
    open_server: Running,
) -> None:
    answer = open_server.ask("/predict", {"texts": ["good", "secret that breaks the model"]})
    assert answer.status == 500 and b"secret" not in answer.content
    assert isinstance(open_server.mistakes.pop(), RuntimeError)
    assert texts_of(open_server.ask("/predict", {"text": "good"})) == ["good"]


def test_a_body_in_chunks_is_read_and_one_without_end_is_refused(open_server: Running) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    client = open_server.client()
    client.send(head + b'7\r\n{"text"\r\n')
    time.sleep(0.02)
    client.send(b'6\r\n: "a"}\r\n0\r\n\r\n')
    assert texts_of(client.answer()) == ["a"]
    client.send(head)
    client.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
    for _ in range(3):
        client.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
    assert client.answer().status == 413
    client.close()


def test_chunks_of_single_bytes_are_not_read_for_ever(open_server: Running) -> None:
    client = open_server.client()
    client.send(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    extended = b"1;" + b"x" * 1000 + b"\r\n \r\n"
    for _ in range(300):
        client.send(extended)
    assert client.answer().status == 413
    client.close()


def test_a_body_of_100_megabytes_is_refused_by_its_length_alone(open_server: Running) -> None:
    client = open_server.client()
    client.send(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n")
    assert client.answer().status == 413
    client.close()


def test_a_client_that_asks_first_is_told_to_go_on_or_not(open_server: Running) -> None:
    client = open_server.client()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: "
    client.send(head + b"13\r\n\r\n")
    client.send(b'{"text": "a"}')
    assert texts_of(client.answer()) == ["a"]
    client.send(head + b"104857600\r\n\r\n")
    assert client.answer().status == 413
    client.close()


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"99999999999999999999999", b"13, 14", b"", b"0x10"])
def test_a_length_that_is_none_is_400(open_server: Running, length: bytes) -> None:
    client = open_server.client()
    client.send(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b'\r\n\r\n{"text": "a"}')
    answer = client.answer()
    assert answer.status == 400 and list(answer.json) == ["error"]
    assert client.ended()


def test_both_a_length_and_chunks_are_refused_since_proxies_disagree_about_them(open_server: Running) -> None:
    client = open_server.client()
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    client.send(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + both)
    assert client.answer().status == 400
    client.close()


def test_a_head_without_end_is_refused(open_server: Running) -> None:
    client = open_server.client()
    client.send(b"GET / HTTP/1.1\r\n")
    for _ in range(600):
        client.send(b"x: " + b"y" * 1000 + b"\r\n")
    assert client.answer().status == 431
    assert client.ended()


def test_a_client_that_is_refused_may_go_on_sending_so_that_it_sees_why(open_server: Running) -> None:
    client = open_server.client()
    client.send(b"GET / HTTP/1.1\r\nx: " + b"y" * 600_000)
    until(lambda: client.socket.recv(1, socket.MSG_PEEK))
    for _ in range(5):
        client.send(b"y" * 1000)
        time.sleep(0.01)
    assert client.answer().status == 431
    client.close()


def test_a_client_that_closes_its_side_after_its_request_is_answered(open_server: Running) -> None:
    client = open_server.client()
    client.send(request("/predict", {"text": "half closed"}))
    client.socket.shutdown(socket.SHUT_WR)
    assert texts_of(client.answer()) == ["half closed"]
    assert client.ended()


def test_a_client_that_closes_its_side_in_the_middle_of_its_body_is_told_so(open_server: Running) -> None:
    client = open_server.client()
    client.send(b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"text"')
    time.sleep(0.02)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.answer().status == 400
    assert client.ended()


def test_several_requests_on_one_connection_are_answered_in_their_order(open_server: Running) -> None:
    client = open_server.client()
    client.send(b"".join(request("/predict", {"text": str(number)}) for number in range(10)))
    assert [texts_of(client.answer()) for _ in range(10)] == [[str(number)] for number in range(10)]
    client.close()


def test_a_client_that_sends_requests_and_fetches_no_answers_is_cut_off(open_server: Running) -> None:
    client = open_server.client()
    with pytest.raises(OSError):
        for _ in range(2000):
            client.send(request("/predict", {"text": "a"}) * 100)
    client.close()
    assert open_server.ask("/health").status == 200
    assert open_server.mistakes == []


@pytest.mark.parametrize("sent", [b"POST /predict HTTP/1.1\r\nHost", request("/predict", {"text": "a"})[:-3]])
def test_a_slow_client_is_408_and_stops_nobody(hasty_server: Running, sent: bytes) -> None:
    slow = hasty_server.client()
    slow.send(sent)
    assert texts_of(hasty_server.ask("/predict", {"text": "fast"})) == ["fast"]
    answer = slow.answer()
    assert answer.status == 408 and "0.3 s" in answer.json["error"]
    assert slow.ended()


def test_a_client_that_drips_its_request_is_cut_off_however_often_it_sends(hasty_server: Running) -> None:
    slow = hasty_server.client()
    began = time.monotonic()
    with pytest.raises((OSError, EOFError)):
        for byte in request("/predict", {"text": "a" * 500}):
            slow.send(bytes([byte]))
            time.sleep(0.02)
        slow.answer()
    assert time.monotonic() - began < 15
    slow.close()


def test_a_connection_that_never_says_anything_is_closed(hasty_server: Running) -> None:
    silent = hasty_server.client()
    assert silent.ended()


def test_a_client_that_does_not_fetch_its_answers_is_cut_off(hasty_server: Running) -> None:
    greedy = hasty_server.client(5.0)
    greedy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    page = request("/large") * 10
    with pytest.raises(OSError):
        for _ in range(10_000):
            greedy.send(page)
    greedy.close()
    assert hasty_server.ask("/health").status == 200


def test_too_many_connections_are_503_and_have_room_again_later() -> None:
    with running(limits=Limits(connections=3)) as server:
        clients = [server.client() for _ in range(3)]
        assert all(client.ask("/health").status == 200 for client in clients)
        assert server.client().answer().status == 503
        clients[0].close()
        until(lambda: len(server.server.server_state.connections) < 3)
        assert server.ask("/health").status == 200


def test_every_way_but_health_and_the_page_needs_the_token() -> None:
    with running(token=TOKEN) as server:
        for path, body in (("/predict", {"text": "a"}), ("/explain", {"text": "a"}), ("/metrics", None)):
            for headers in ({}, {"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Authorization": TOKEN}):
                refused = server.ask(path, body, **headers)
                assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert server.ask(path, body, Authorization=f"Bearer {TOKEN}").status == 200
        assert server.ask("/health").status == server.ask("/").status == 200
        assert server.ask("/predict", b"{", Authorization="Bearer x").status == 401, "the token comes first"


def test_what_was_accepted_is_answered_when_the_server_ends() -> None:
    offer = Pretended()
    with running(offer) as server:
        offer.go.clear()
        clients = [server.client() for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(request("/predict", {"text": str(number)}))
        until(lambda: server.application.joiner.jobs == 20)
        server.server.should_exit = True
        until(lambda: server.application.ending)
        assert server.application.joiner.jobs == 20
        threading.Timer(0.3, offer.go.set).start()
        for number, client in enumerate(clients):
            answer = client.answer()
            assert texts_of(answer) == [str(number)]
            assert answer.headers["connection"] == "close"
            client.close()


def test_an_explanation_is_computed_in_parts_and_others_have_their_turn_in_between() -> None:
    offer = Pretended()
    with running(offer) as server:
        offer.go.clear()
        explainer, other = server.client(), server.client()
        explainer.send(request("/explain", {"text": "word " * 400}))
        until(lambda: offer.batches)
        other.send(request("/predict", {"text": "small"}))
        until(lambda: server.application.joiner.jobs == 2)
        offer.go.set()
        assert texts_of(other.answer()) == ["small"]
        assert explainer.answer().json["tried"] == 400
    place = next(i for i, batch in enumerate(offer.batches) if "small" in batch)
    assert place == 1 < len(offer.batches) - 1, "it came while the first part was computed"


def test_too_many_explanations_at_a_time_are_429() -> None:
    offer = Pretended()
    with running(offer) as server:
        offer.go.clear()
        clients = [server.client() for _ in range(17)]
        for client in clients[:16]:
            client.send(request("/explain", {"text": "a b"}))
        until(lambda: offer.batches)
        until(lambda: server.application._computing._explaining == 16)
        assert clients[16].ask("/explain", {"text": "a b"}).status == 429
        offer.go.set()
        assert [client.answer().json["tried"] for client in clients[:16]] == [2] * 16


def test_health_says_that_the_server_ends_while_it_still_answers() -> None:
    with running() as server:
        client = server.client()
        assert client.ask("/health").json == {"status": "ok"}
        server.application.ending = True
        answer = client.ask("/health")
        assert (answer.status, answer.json) == (503, {"status": "ending"})
        client.close()


def test_the_page_loads_nothing_from_elsewhere_and_says_so_to_the_browser(open_server: Running) -> None:
    page = open_server.ask("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    text = page.content.decode()
    assert "a &lt;model&gt;" in text and 'data-pairs="no"' in text and "{" not in text
    for path in ("/page.css", "/page.js", "/icon.svg"):
        answer = open_server.ask(path)
        assert answer.status == 200 and answer.headers["x-content-type-options"] == "nosniff"
        text += answer.content.decode()
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    assert "style=" not in text and 'onclick="' not in text and "innerHTML" not in text


def test_answers_to_head_have_no_content(open_server: Running) -> None:
    client = open_server.client()
    client.send(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n" + request("/health"))
    head = client.socket.recv(1)
    assert head == b"H"
    until(lambda: client.socket.recv(4096).count(b'{"status": "ok"}') == 1)
    client.close()


def test_metrics_count_what_happened() -> None:
    with running() as server:
        server.ask("/predict", {"texts": ["a", "b"]})
        server.ask("/predict", {"texts": "a"})
        server.ask("/a path that nobody knows".replace(" ", "-"))
        page = server.ask("/metrics").content.decode()
    for line in (
        'custom_bert_requests_total{path="/predict",code="200"} 1',
        'custom_bert_requests_total{path="/predict",code="422"} 1',
        'custom_bert_requests_total{path="other",code="404"} 1',
        'custom_bert_texts_total{path="/predict"} 2',
        "custom_bert_accepted_total 1",
        "custom_bert_answered_total 1",
        "custom_bert_batch_texts_sum 2.000000",
    ):
        assert f"\n{line}\n" in page
