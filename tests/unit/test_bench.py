"""The benchmarks measure what is there: each runs, and says what it is asked to say."""

import asyncio
from pathlib import Path

from bench import agent
from bench.gateway import measure


def test_the_gateway_is_measured() -> None:
    found = measure(2)
    assert found.keys() == {"decision", "call_before_io", "call"}
    assert 0 < found["decision"] < found["call_before_io"] < found["call"]


def test_an_agent_is_measured_beside_both(tmp_path: Path) -> None:
    found = asyncio.run(agent.measure(tmp_path, 2))
    assert found.keys() == {agent.SAVED, agent.BARE}
    for told in found.values():
        assert told.keys() == {"2_turns", "10_turns", "one_turn_more"}
        assert min(*told["2_turns"], *told["10_turns"]) > 0
