"""What the tests share: the runs of a project of their own, on a real PostgreSQL, with nothing of yours in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pointsman import Runs

from graphs.refund import graph


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
async def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> AsyncIterator[Runs]:
    """The runs of a fresh project in which dana is a lead and lee a clerk, and no model is configured."""
    for name in ("DATABASE_URL", "POINTSMAN_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path))
    (tmp_path / "guards").mkdir()
    (tmp_path / "guards" / "roles.toml").write_text('[roles]\nlead = ["dana"]\nclerk = ["lee"]\n')
    async with Runs.open(root=tmp_path, graphs={"refund": graph}) as opened:
        yield opened
