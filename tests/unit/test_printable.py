"""Recorded values as a person reads them: short, plain, and never what a terminal would obey."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pointsman import canonical
from pointsman.cli.printable import ago, clipped, counted, duration, moment, preview


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "none"),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (1.5, "1.5"),
        (Decimal("1200.50"), "1200.5"),
        (date(2026, 11, 27), "2026-11-27"),
        (datetime(2026, 11, 27, 9, 30, tzinfo=UTC), "2026-11-27T09:30:00+00:00"),
        (timedelta(minutes=1.5), "90 s"),
        (b"x" * 1234, "1,234 bytes"),
        ("short", '"short"'),
        ("", '""'),
        ([], "[]"),
        ({}, "{}"),
        ([1, 2], "[1, 2]"),
        ({"a": 1, "b": None, "c": None}, "{a: 1, 2 none}"),
        ({"name": "a.pdf", "sha256": "ab" * 32, "size": 2048}, f"a.pdf (2,048 bytes, sha256 {'ab' * 6})"),
    ],
)
def test_a_value_is_shown_as_what_it_is(value: Any, shown: str) -> None:
    assert preview(canonical.encode(value)) == shown


def test_what_is_cut_is_counted() -> None:
    assert preview("x" * 5000, 40) == f'"{"x" * 20}…" (5,000 characters)'
    assert preview(list(range(100)), 30).endswith(" more items]")
    assert preview({f"field{n}": "x" * 30 for n in range(20)}, 80).endswith(" more fields}")
    assert len(preview({f"field{n}": ["x" * 300] * 9 for n in range(50)}, 160)) < 400


def test_an_altered_record_is_shown_as_it_is() -> None:
    assert preview({"$decimal": "no number"}) == '{$decimal: "no number"}'


def test_nothing_a_terminal_would_obey_is_printed() -> None:
    evil = "\x1b[2J\x07red\r"
    for shown in (preview(evil), preview({evil: evil}), preview([evil]), clipped(evil, 50), moment(evil)):
        assert not any(sign in shown for sign in "\x1b\x07\r"), shown


def test_a_text_is_cut_to_its_room() -> None:
    assert (clipped("abcdef", 6), clipped("abcdef", 5)) == ("abcdef", "abcd…")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(5, "5 s ago"), (300, "5 min ago"), (3 * 3600, "3 h ago"), (4 * 86400, "4 d ago"), (-299.5, "in 5 min"), (-30.5, "in 30 s")],
)
def test_how_long_ago(seconds: float, shown: str) -> None:
    assert ago(datetime.now(UTC) - timedelta(seconds=seconds)) == shown


def test_a_moment_says_how_long_ago_and_what_is_none_is_shown_as_it_is() -> None:
    assert moment((datetime.now(UTC) - timedelta(hours=5)).isoformat()).endswith("(5 h ago)")
    assert moment("never") == "never"


@pytest.mark.parametrize(("seconds", "shown"), [(None, ""), (0.0421, "42 ms"), (1.26, "1.3 s"), (89.94, "89.9 s"), (200.7, "3 min 20 s")])
def test_a_duration(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_number_has_its_noun() -> None:
    assert [counted(n, "document") for n in (0, 1, 2000)] == ["0 documents", "1 document", "2,000 documents"]
    assert counted(2, "reply", "replies") == "2 replies"
