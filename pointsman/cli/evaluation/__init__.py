"""`pointsman eval`: what is made of recorded runs."""

from __future__ import annotations

import typer

from pointsman.cli.evaluation import traces

app = typer.Typer(
    name="eval", help="Recorded runs: export and import, replay, back-test, drift.", no_args_is_help=True, rich_markup_mode=None
)
"""The commands below `pointsman eval`."""

app.command("export")(traces.export)
app.command("import")(traces.import_)
app.command("list")(traces.list_)

__all__ = ["app"]
