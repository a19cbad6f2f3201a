"""What every test may ask for: a PostgreSQL of the test run's own, a fresh database in it, a home, and the measuring data.

One server serves all workers of a run. It is made for tests (nothing survives a crash of the machine), lives in a folder with a
short path, since a socket's name has at most 107 bytes, and is gone when the run is over.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
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


def pytest_collection_finish() -> None:
    """What was loaded stays; the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


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


# What a database is made of, counted, and who else is connected to it.
OBJECTS = " || ' ' || ".join(
    f"(SELECT count(*) FROM pg_{kind})" for kind in ("class", "attribute", "proc", "trigger", "constraint", "namespace")
)
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
EMPTIED = """
DO $$ DECLARE found regclass; is_filled boolean; filled text[] := '{}'; BEGIN
    FOR found IN SELECT oid FROM pg_class WHERE relkind = 'r' AND oid >= 16384 AND relname NOT IN ('pointsman_version', 'checkpoint_migrations')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', found) INTO is_filled;
        IF is_filled THEN filled := filled || found::text; END IF;
    END LOOP;
    IF filled <> '{}' THEN EXECUTE 'TRUNCATE ' || array_to_string(filled, ', '); END IF;
    PERFORM setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND oid >= 16384;
END $$"""


class Databases:
    """The migrated databases of one worker. Whoever takes one finds nothing in it, and has it alone.

    One that was left as it was made, but for rows, is emptied for the next test, since making and dropping it would cost PostgreSQL more than
    a small test does; where there is any object more or less, or somebody is still connected, it is dropped.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._kept: list[str] = []
        self._objects = ""

    @contextmanager
    def one(self) -> Iterator[str]:
        """The connection string of one."""
        name = self._kept.pop() if self._kept else self._made()
        url = make_conninfo(self._conninfo, dbname=name)
        try:
            yield url
        finally:
            if self._emptied(url):
                self._kept.append(name)
            else:
                self._told(f"DROP DATABASE {name} WITH (FORCE)")

    def _made(self) -> str:
        name = f"t_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{next(_numbers)}"
        # Copied as files: two to three times as fast as by its log where nothing is synced to disk.
        self._told(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        with psycopg.connect(make_conninfo(self._conninfo, dbname=name), autocommit=True) as admin:
            self._objects = _first(admin, f"SELECT {OBJECTS}")
        return name

    def _emptied(self, url: str) -> bool:
        with psycopg.connect(url, autocommit=True) as admin:
            deadline = time.monotonic() + 0.5  # whoever hung up a moment ago is still seen
            while _first(admin, OTHERS):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
            if _first(admin, f"SELECT {OBJECTS}") != self._objects:
                return False
            admin.execute(EMPTIED)
        return True

    def _told(self, statement: str) -> None:
        with psycopg.connect(self._conninfo, autocommit=True) as admin:
            admin.execute(statement.encode())


def _first(admin: psycopg.Connection[Any], query: str) -> Any:
    row = admin.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture(scope="session")
def databases(server: EmbeddedPostgres) -> Databases:
    """What `url` is one of, for tests that need several."""
    return Databases(server.conninfo)


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """A connection string of a migrated database with nothing in it."""
    with databases.one() as url:
        yield url


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
