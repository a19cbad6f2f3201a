"""The chain: every byte of a row counts, and so does its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.event import GENESIS, Draft, Event, Row, chain_hash, link

RUN = "6f0c"
DRAFT = Draft("call.intent", "2026-11-22T00:00:00.000000Z", "post@1", {"tool": "pay", "key": "é\n", "n": 1}, {"arguments": "ab" * 32})


def row(**changed: Any) -> Row:
    return link(DRAFT, run_id=RUN, branch=0, seq=2, prev="f" * 64)._replace(**changed)


def test_a_row_says_what_the_draft_says() -> None:
    made = row()
    assert (made.seq, made.prev, made.branch, made.position, made.kind, made.time) == (2, "f" * 64, 0, "post@1", "call.intent", DRAFT.time)
    assert made.fields == '{"key":"é\\n","n":1,"tool":"pay"}'
    assert made.hash == chain_hash(RUN, made)


def test_an_event_comes_back() -> None:
    event = Event.of(RUN, row())
    assert (event.run_id, event.seq, event.kind, event.fields, event.payloads) == (
        RUN,
        2,
        "call.intent",
        dict(DRAFT.fields),
        dict(DRAFT.payloads),
    )
    with pytest.raises(ValueError, match="Expecting"):
        Event.of(RUN, row(fields="{"))


def test_the_order_in_which_fields_were_given_does_not_matter() -> None:
    turned = Draft(DRAFT.kind, DRAFT.time, DRAFT.position, dict(reversed(DRAFT.fields.items())), DRAFT.payloads)
    assert link(turned, run_id=RUN, branch=0, seq=2, prev="f" * 64) == row()


TEXTS = ("time", "position", "kind", "fields", "payloads", "prev")


@given(st.sampled_from(TEXTS), st.data())
def test_any_flipped_byte_changes_the_hash(name: str, data: st.DataObject) -> None:
    made = row()
    stored = bytearray(getattr(made, name).encode())
    place = data.draw(st.integers(0, len(stored) - 1))
    stored[place] ^= data.draw(st.integers(1, 255))
    altered = made._replace(**{name: stored.decode("utf-8", "surrogateescape")})
    try:
        assert chain_hash(RUN, altered) != made.hash
    except UnicodeEncodeError:  # PostgreSQL would not even have stored it
        pass


@pytest.mark.parametrize(
    "changed", [{"seq": 3}, {"seq": 20}, {"branch": 1}, {"branch": 10}, {"position": ""}, {"kind": "call.outcome"}, {"fields": "{}"}]
)
def test_every_part_counts(changed: dict[str, Any]) -> None:
    assert chain_hash(RUN, row(**changed)) != row().hash


def test_the_run_counts() -> None:
    """A row of another run does not fit into this one."""
    assert chain_hash("6f0d", row()) != row().hash


def test_nothing_can_be_moved_from_one_part_to_the_next() -> None:
    seen = {chain_hash(RUN, row(seq=1, branch=23)), chain_hash(RUN, row(seq=12, branch=3)), chain_hash(RUN + "1", row(seq=2, branch=3))}
    seen |= {chain_hash(RUN, row(position="ab", kind="c")), chain_hash(RUN, row(position="a", kind="bc"))}
    assert len(seen) == 5


def test_the_stored_hash_itself_is_not_hashed() -> None:
    assert chain_hash(RUN, row(hash="")) == row().hash


def test_the_first_event_follows_on_nothing() -> None:
    first = link(Draft("run.accepted", DRAFT.time), run_id=RUN, branch=0, seq=1, prev=GENESIS)
    assert (first.fields, first.payloads, first.prev) == ("{}", "{}", "0" * 64)
