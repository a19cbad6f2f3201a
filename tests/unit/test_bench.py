"""The benchmarks measure what is there: each runs, and says what it is asked to say."""

from bench.gateway import measure


def test_the_gateway_is_measured() -> None:
    found = measure(2)
    assert found.keys() == {"decision", "call_before_io", "call"}
    assert 0 < found["decision"] < found["call_before_io"] < found["call"]
