"""What the server counts, in Prometheus' format."""

from custom_bert.server.measures import Histogram, Measures


def test_a_histogram_counts_what_is_at_most_each_bound() -> None:
    histogram = Histogram((1, 2, 4))
    for value in (0.5, 1, 3, 100):
        histogram.add(value)
    assert list(histogram.lines("h", 'path="/p"')) == [
        'h_bucket{path="/p",le="1"} 2',
        'h_bucket{path="/p",le="2"} 2',
        'h_bucket{path="/p",le="4"} 3',
        'h_bucket{path="/p",le="+Inf"} 4',
        'h_sum{path="/p"} 104.500000',
        'h_count{path="/p"} 4',
    ]


def test_the_page_has_every_count_with_its_kind_and_what_it_is() -> None:
    measures = Measures()
    measures.request("/predict", 200, 0.01)
    measures.request("/predict", 200, 0.01)
    measures.request("other", 404, 0.0)
    measures.texts("/predict", 7)
    measures.batch(7, 0.5)
    measures.characters(100, 3)
    page = measures.page(2, {"queue_requests": ("Requests that wait.", 5.0)})
    lines = page.split("\n")
    for line in (
        'custom_bert_requests_total{path="/predict",code="200"} 2',
        'custom_bert_requests_total{path="other",code="404"} 1',
        'custom_bert_texts_total{path="/predict"} 7',
        "custom_bert_accepted_total 2",
        "custom_bert_characters_total 100",
        "custom_bert_unknown_characters_total 3",
        "custom_bert_batch_texts_sum 7.000000",
        "custom_bert_queue_requests 5",
        'custom_bert_request_seconds_count{path="/predict"} 2',
    ):
        assert line in lines
    names = {line.split("{")[0].split(" ")[0] for line in lines if line and not line.startswith("#")}
    kinds = {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}
    abouts = {line.split(" ")[2] for line in lines if line.startswith("# HELP")}
    assert kinds == abouts
    for name in names:
        assert name in kinds or name.rpartition("_")[0] in kinds, name
    assert page.endswith("\n") and all(lines[:-1])
