"""The databases of the tests: whoever takes one finds it as it was made, whatever the test before did to it."""

import psycopg
import pytest

from tests.conftest import Databases

REVOKE = "INSERT INTO pointsman.revocation (kind, name, revoked_by, reason) VALUES ('tool', 'pay', 'dana', '') RETURNING number"
COUNT = "SELECT count(*) FROM pointsman.revocation"
DRAW = "SELECT nextval(pg_get_serial_sequence('pointsman.revocation', 'number'))"


def begins_empty(url: str) -> bool:
    """Whether nothing was ever put into it; leaves a row, and a number that was drawn in vain."""
    with psycopg.connect(url, autocommit=True) as connection:
        told = [(connection.execute(query.encode()).fetchone() or [0])[0] for query in (COUNT, REVOKE, DRAW)]
    return told == [0, 1, 2]


def test_rows_and_numbers_do_not_come_through(databases: Databases) -> None:
    urls = set()
    for kept in (True, False, True):
        with databases.one() as url:
            urls.add(url)
            assert begins_empty(url)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("DELETE FROM pointsman.revocation WHERE NOT %s", (kept,))
    assert len(urls) == 1, "it was emptied, not made anew"


@pytest.mark.parametrize(
    "change", ["CREATE TABLE more (n int)", "ALTER TABLE pointsman.run ADD COLUMN more int", "DROP INDEX pointsman.run_by_state"]
)
def test_one_that_was_altered_is_dropped(databases: Databases, change: str) -> None:
    with databases.one() as altered, psycopg.connect(altered, autocommit=True) as connection:
        connection.execute(change.encode())
    with databases.one() as url:
        assert url != altered
        assert begins_empty(url)


def test_one_that_somebody_is_still_connected_to_is_dropped(databases: Databases) -> None:
    with databases.one() as left:
        late = psycopg.connect(left, autocommit=True)
    with databases.one() as url:
        assert url != left
        with pytest.raises(psycopg.OperationalError):
            late.execute("SELECT 1")
        late.close()
