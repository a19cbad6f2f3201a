"""One server for all tests here, on a database of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pointsman.store.embedded import EmbeddedPostgres
from tests.acceptance.studio.desk import Desk, require_server
from tests.conftest import TEMPLATE


@pytest.fixture(scope="module")
def desk(server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A project with LangGraph's server in front of it."""
    require_server()
    name = f"studio_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    desk = Desk.on(tmp_path_factory.mktemp("studio"), make_conninfo(server.conninfo, dbname=name))
    with desk.serving():
        yield desk
    log = desk.log()
    assert "BlockingError" not in log, "something blocked the server's loop"
    assert "Background worker failed" not in log
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
