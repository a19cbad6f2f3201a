"""The world that the acceptance tests share."""

import pytest

from tests.acceptance.world import World


@pytest.fixture
def world() -> World:
    """An outside world of the test's own."""
    return World()
