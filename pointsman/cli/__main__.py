"""`python -m pointsman.cli`: the command line without its console script."""

from __future__ import annotations

from pointsman.cli import app

app()
