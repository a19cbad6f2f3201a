"""What every test may ask for: a PostgreSQL of the test run's own, a fresh database in it, a home, and the measuring data.

One server serves all workers of a run. It is made for tests (nothing survives a crash of the machine), lives in a folder with a
short path, since a socket's name has at most 107 bytes, and is gone when the run is over.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg.conninfo import make_conninfo

from evals.measuring import measuring_data
from pointsman import Runs
from pointsman.store import Store
from pointsman.store.embedded import EmbeddedPostgres

ROOT = Path(__file__).parents[1]
FOLDER = "POINTSMAN_TEST_FOLDER"
TEMPLATE = "pointsman_template"

# No deadline: a test that shares two cores with a database is slow now and then, and not wrong for it.
settings.register_profile("house", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("house")

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Take the user's own database, model and tracing out of the tests' sight, and choose the folder that all workers share."""
    for name in ("DATABASE_URL", "POINTSMAN_HOME", "POINTSMAN_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        os.environ.pop(name, None)
    os.environ["LANGSMITH_TRACING"] = "false"
    # What a shell starts in the background is deaf to Ctrl-C, and so would be whatever a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="pmt-"))
        folder.chmod(0o755)  # the server of root runs as somebody else, who has to pass through
        os.environ[FOLDER] = str(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: else one worker ends alone with what takes a minute."""
    items.sort(key=lambda item: item.path.parent.name != "crash")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Wait until the server has stopped, and remove its folder."""
    if hasattr(config, "workerinput") or FOLDER not in os.environ:
        return
    folder = Path(os.environ.pop(FOLDER))
    deadline = time.monotonic() + 30
    while not _stopped(folder / "home" / "postgres" / "server.lock"):
        if time.monotonic() > deadline:
            sys.stderr.write(f"the PostgreSQL of the tests still runs in {folder}\n")
            return
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _stopped(lock: Path) -> bool:
    """Whether no process of the server is left."""
    try:
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def anyio_backend() -> str:
    """Every async test runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedPostgres]:
    """The test run's PostgreSQL, with a database `TEMPLATE` that is migrated."""
    folder = Path(os.environ[FOLDER])
    held = EmbeddedPostgres.start(folder / "home", durable=False, linger=0)
    try:
        with (folder / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whichever worker comes first makes it
            with psycopg.connect(held.conninfo, autocommit=True) as admin:
                made = admin.execute("SELECT FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone()
                if made is None:
                    admin.execute(f"CREATE DATABASE {TEMPLATE}_new")
                    asyncio.run(_migrate(make_conninfo(held.conninfo, dbname=f"{TEMPLATE}_new")))
                    admin.execute(f"ALTER DATABASE {TEMPLATE}_new RENAME TO {TEMPLATE}")
        yield held
    finally:
        held.close()


async def _migrate(url: str) -> None:
    async with Store.open(url, connections=2):
        pass


@pytest.fixture
def url(server: EmbeddedPostgres) -> Iterator[str]:
    """A connection string of a fresh, migrated database."""
    name = f"t_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{next(_numbers)}"
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        # Copied as files: two to three times as fast as by its log where nothing is synced to disk, and each test has one.
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
    yield make_conninfo(server.conninfo, dbname=name)
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty data folder, as `POINTSMAN_HOME` names one."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


OpenRuns = Callable[..., AbstractAsyncContextManager[Runs]]


@pytest.fixture
def open_runs(url: str, home: Path) -> OpenRuns:
    """`open_runs(graph, …, **options)`: the runs of a project that has just these graphs, in the test's own database."""

    def opened(*graphs: Any, **options: Any) -> AbstractAsyncContextManager[Runs]:
        return Runs.open(url=url, home=home, root=home, graphs={graph.plan.name: graph for graph in graphs}, **options)

    return opened


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of measuring data, `POINTSMAN_DATA`; without it the test is skipped, and says so."""
    folder = measuring_data()
    if not folder.is_dir():
        pytest.skip(f"NOT MEASURED: {folder} is missing; set POINTSMAN_DATA")
    return folder
