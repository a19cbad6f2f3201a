"""The outside system that ships for tests: it counts what it is asked, and applies each key once."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pointsman.errors import Refused, Unavailable
from pointsman.testing import Outside
from pointsman.testing.outside import Count, call, happened

BODY = {"to": "x"}
ANSWER = {"target": "send", "body": BODY}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with Outside.open(tmp_path / "book.sqlite") as opened:
        yield opened


def test_a_key_is_applied_once_and_answered_the_same_each_time(outside: Outside) -> None:
    assert [call(outside.url, "send", BODY, "k") for _ in range(3)] == [ANSWER] * 3
    assert outside.counts() == {"k": Count("send", requests=3, applied=1)}


def test_a_call_without_a_key_is_applied_each_time_and_can_be_asked_about(outside: Outside) -> None:
    assert happened(outside.url, "send", BODY) is None
    for _ in range(2):
        call(outside.url, "send", BODY)
    assert outside.counts() == {'send:{"to": "x"}': Count("send", requests=2, applied=2)}
    assert happened(outside.url, "send", BODY) == ANSWER


def test_what_is_planned_to_fail_is_not_applied(outside: Outside) -> None:
    outside.plan("send", fail=1)
    with pytest.raises(Unavailable, match="out of order"):
        call(outside.url, "send", BODY, "k")
    assert outside.counts()["k"].applied == 0
    assert call(outside.url, "send", BODY, "k") == ANSWER
    outside.plan("send", refuse=True)
    with pytest.raises(Refused):
        call(outside.url, "send", BODY, "other")
    assert (outside.counts()["k"], outside.counts()["other"].applied) == (Count("send", 2, 1), 0)


def test_an_answer_that_is_dropped_was_applied(outside: Outside) -> None:
    outside.plan("send", drop=1)
    with pytest.raises(ConnectionError):
        call(outside.url, "send", BODY, "k")
    assert outside.counts()["k"] == Count("send", 1, 1)
    assert call(outside.url, "send", BODY, "k") == ANSWER


def test_a_held_call_is_counted_and_goes_on_by_the_new_plan(outside: Outside) -> None:
    outside.plan("send", hold=True)
    answers: list[object] = []
    caller = threading.Thread(target=lambda: answers.append(call(outside.url, "send", BODY, "k")))
    caller.start()
    deadline = time.monotonic() + 30
    while not outside.counts():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (outside.counts()["k"], answers) == (Count("send", 1, 0), [])
    outside.plan("send")
    caller.join(30)
    assert (answers, outside.counts()["k"]) == ([ANSWER], Count("send", 1, 1))


def test_half_a_request_is_no_request(outside: Outside) -> None:
    place = urlsplit(outside.url)
    with socket.create_connection((place.hostname, place.port)) as half:
        half.sendall(b"POST /call/send HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        half.shutdown(socket.SHUT_WR)
        assert half.recv(100) == b""
    assert outside.counts() == {}


def test_opened_again_on_its_file_it_knows_what_it_knew(tmp_path: Path) -> None:
    file = tmp_path / "book.sqlite"
    with Outside.open(file) as first:
        call(first.url, "send", BODY, "k")
    with pytest.raises(Unavailable, match="could not be reached"):
        call(first.url, "send", BODY, "k")
    with Outside.open(file) as second:
        assert call(second.url, "send", BODY, "k") == ANSWER
        assert second.counts() == {"k": Count("send", 2, 1)}
