"""What the crash tests share: an outside system in a process of its own, and a crew of workers that can be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.testing import Outside
from tests.crash.crew import Crew


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    """An outside system that has been asked nothing yet."""
    with Outside.open(tmp_path / "outside.sqlite") as outside:
        yield outside


@pytest.fixture(scope="session")
def forking() -> Iterator[Crew]:
    """The process from which all workers are forked."""
    with Crew.open() as forking:
        yield forking


@pytest.fixture
def crew(forking: Crew, outside: Outside, url: str, home: Path) -> Iterator[Crew]:
    """Workers on the test's own database and home."""
    with forking.at(outside, home, url) as crew:
        yield crew
