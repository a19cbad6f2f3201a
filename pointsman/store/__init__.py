"""The one PostgreSQL: a pool of connections, every statement by name, migrations under a lock."""

from __future__ import annotations

import asyncio
import logging
import select
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from typing import Any, Self

import psycopg
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pointsman.errors import StoreUnavailable

Connection = AsyncConnection[DictRow]

UNREACHABLE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What is raised when the server is gone, or went away with the connection: it may pass."""

_LOCK = 7_461_636_373_401
"""The advisory lock that migrations hold; any fixed number that is ours."""

for _name in ("psycopg", "psycopg.pool"):  # they warn of every connection that a restart of the server cost; the store reports what matters
    logging.getLogger(_name).setLevel(logging.ERROR)


def _named(text: str) -> dict[str, str]:
    parts = text.split("-- name: ")[1:]
    return {name.strip(): body.strip() for name, body in (part.split("\n", 1) for part in parts)}


QUERIES = {name: text.encode() for name, text in _named((files("pointsman.store") / "queries.sql").read_text(encoding="utf-8")).items()}
"""The statements of `queries.sql`, by name."""


class _Pool(AsyncConnectionPool[Connection]):
    """A pool in which whoever is called off while they wait is called off, also where what they wait for comes at that moment.

    `asyncio.wait_for`, with which psycopg's pool waits, drops a cancellation then before Python 3.12: a Ctrl-C would be lost.
    """

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109 - it overrides
        before = _called_off()
        conn = await super().getconn(timeout)
        if _called_off() > before:
            await self.putconn(conn)
            raise asyncio.CancelledError
        return conn

    async def wait(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - it overrides
        before = _called_off()
        await super().wait(timeout)
        if _called_off() > before:
            raise asyncio.CancelledError


def _called_off() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


class Store:
    """A pool of connections to the database of a project. Open it with `Store.open`."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self.pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, conninfo: str, *, revive: Callable[[], Any] | None = None, connections: int = 10) -> AsyncIterator[Store]:
        """A store on the database `conninfo` names, brought up to date; `revive` is called (in a thread) where no connection can be made.

        Raises `StoreUnavailable`.
        """
        kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}

        async def check(conn: Connection) -> None:
            if _hung_up(conn):
                await pool.drain()  # the others have lost the same server
                await conn.close()
                raise psycopg.OperationalError("the server has closed the connection")

        pool = _Pool(
            conninfo, connection_class=_reviving(revive) if revive else AsyncConnection[DictRow], check=check,
            min_size=1, max_size=connections, kwargs=kwargs, open=False, timeout=10, reconnect_timeout=1,
        )  # fmt: skip
        try:
            # Once by itself: the pool would try for its whole time-out, and would not say why.
            await (await AsyncConnection.connect(conninfo, connect_timeout=10)).close()
            await pool.open(wait=True, timeout=10)
        except psycopg.ProgrammingError:
            # libpq quotes what it does not understand, and that may be half of the password.
            await pool.close()
            raise StoreUnavailable(
                "DATABASE_URL is not a connection string", undone="nothing was read or written", remedy="run `pointsman doctor`"
            ) from None
        except (psycopg.OperationalError, PoolTimeout) as error:
            await pool.close()
            raise StoreUnavailable(
                f"PostgreSQL does not answer: {error}", undone="nothing was read or written", remedy="run `pointsman doctor`"
            ) from error
        store = cls(pool)
        try:
            await store._migrate()
            yield store
        finally:
            await pool.close()

    async def fetch(self, name: str, *params: Any) -> list[DictRow]:
        """The rows of the statement `name`, in a transaction of its own."""
        with _room():
            async with self.pool.connection() as conn:
                cursor = await conn.execute(QUERIES[name], params)
                return await cursor.fetchall() if cursor.description else []

    async def one(self, name: str, *params: Any) -> DictRow | None:
        """The first row of the statement `name`, or None."""
        rows = await self.fetch(name, *params)
        return rows[0] if rows else None

    @asynccontextmanager
    async def transaction(self, *, frozen: bool = False) -> AsyncIterator[Transaction]:
        """Several statements, all or nothing; those whose rows nobody asks for are sent without waiting for one another. `frozen`: all of them see one instant."""
        with _room():
            async with self.pool.connection() as conn, conn.pipeline(), conn.transaction():
                if frozen:
                    await conn.execute(QUERIES["see_one_instant"])
                await conn.execute(QUERIES["end_if_stopped"])
                yield Transaction(conn)

    async def _migrate(self) -> None:
        if await self._version() == len(_MIGRATIONS):
            return
        async with self.pool.connection() as conn:
            # Polled, not waited for: LangGraph's set-up builds an index concurrently, which waits for every statement under way, a waiting lock among them.
            while not (await (await conn.execute("SELECT pg_try_advisory_lock(%s) AS got", (_LOCK,))).fetchone() or {})["got"]:
                await asyncio.sleep(0.05)
            try:
                for number in range(await self._version(), len(_MIGRATIONS)):
                    async with conn.transaction():
                        await conn.execute("CREATE TABLE IF NOT EXISTS public.pointsman_version (version int PRIMARY KEY)")
                        await conn.execute(_MIGRATIONS[number].encode(), prepare=False)
                        await conn.execute("INSERT INTO public.pointsman_version VALUES (%s)", (number + 1,))
                await AsyncPostgresSaver(conn).setup()
            finally:
                await conn.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))

    async def _version(self) -> int:
        async with self.pool.connection() as conn:
            try:
                row = await (await conn.execute("SELECT max(version) AS version FROM public.pointsman_version")).fetchone()
            except psycopg.errors.UndefinedTable:
                return 0
        return int((row or {}).get("version") or 0)


def _reviving(revive: Callable[[], Any]) -> type[Connection]:
    """Connections to a server that is started again where there is none: whoever asks for one, to read or to write, need not know of it."""

    class Reviving(AsyncConnection[DictRow]):
        @classmethod
        async def connect(cls, conninfo: str = "", **options: Any) -> Self:
            try:
                return await super().connect(conninfo, **options)
            except psycopg.OperationalError:
                await asyncio.to_thread(revive)
                return await super().connect(conninfo, **options)

    return Reviving


def _hung_up(conn: Connection) -> bool:
    """Whether the server has closed a connection that nobody uses: nothing else is ever to be read there. No round trip."""
    if sys.platform == "win32":
        return False
    line = select.poll()
    line.register(conn.pgconn.socket, select.POLLIN)
    return bool(line.poll(0))


@contextmanager
def _room() -> Iterator[None]:
    """A disk without room does not pass by itself, unlike a server that is gone: it is told, and nothing is tried again."""
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise StoreUnavailable(
            "the disk that the database lies on is full",
            undone="what was to be written was not; all that was written before stands",
            remedy="make room, then type the same command again, or `pointsman resume RUN`",
        ) from error


class Transaction:
    """Statements that commit together."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def run(self, name: str, *params: Any) -> None:
        """Execute the statement `name`; its failure shows at the next `fetch` or at the end."""
        await self._conn.execute(QUERIES[name], params)

    async def fetch(self, name: str, *params: Any) -> list[DictRow]:
        """The rows of the statement `name`."""
        cursor = await self._conn.execute(QUERIES[name], params)
        return await cursor.fetchall()

    async def one(self, name: str, *params: Any) -> DictRow | None:
        """The first row of the statement `name`, or None."""
        rows = await self.fetch(name, *params)
        return rows[0] if rows else None


_MIGRATIONS = [
    path.read_text(encoding="utf-8")
    for path in sorted((files("pointsman.store") / "migrations").iterdir(), key=lambda path: path.name)
    if path.name.endswith(".sql")
]
