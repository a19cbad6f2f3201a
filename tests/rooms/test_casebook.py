"""The casebook: whole or not at all, the same however often, and found again by what cases have in common."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tools.casebook import MOST, Case, End, _search, find_filed, put_case


@pytest.fixture(autouse=True)
def book(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    return home / "cases"


def case(incident: str, *services: str, end: End = "resolved", note: str = "") -> Case:
    return Case(incident=incident, cluster="c", alerts=(), services=services, queue="applications", end=end, note=note)


def test_filing_again_changes_nothing(book: Path) -> None:
    filed = put_case(case("one", "cart"))
    before = (book / "one.json").stat().st_mtime_ns
    assert put_case(case("one", "cart")) == filed
    assert (book / "one.json").stat().st_mtime_ns == before
    assert Case.model_validate_json((book / "one.json").read_bytes()) == case("one", "cart")


def test_the_probe_says_whether_it_happened(book: Path) -> None:
    assert asyncio.run(find_filed(case("one", "cart"))) is None
    put_case(case("one", "cart"))
    assert asyncio.run(find_filed(case("one", "cart"))) is not None
    assert asyncio.run(find_filed(case("one", "cart", note="another end"))) is None
    (book / "one.json").write_text("{")
    assert asyncio.run(find_filed(case("one", "cart"))) is None


def test_resolved_cases_are_found_by_their_services_the_likest_first() -> None:
    for told in (case("a", "cart"), case("b", "cart", "payment"), case("c", "search"), case("d", "cart", end="false alarm")):
        put_case(told)
    assert [found.incident for found in _search(("cart", "payment")).cases] == ["b", "a"]
    assert _search(("nothing",)).cases == ()
    assert _search(()).cases == ()


def test_a_search_gives_no_more_than_a_few() -> None:
    for number in range(2 * MOST):
        put_case(case(f"n{number}", "cart"))
    assert len(_search(("cart",)).cases) == MOST


def test_an_empty_book_holds_nothing() -> None:
    assert _search(("cart",)).cases == ()
