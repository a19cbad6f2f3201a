"""`pointsman eval`: what is made of recorded runs."""

from __future__ import annotations

import typer

from pointsman.cli.evaluation import cases, gating, replaying, scores, traces, trying

app = typer.Typer(
    name="eval",
    help="Recorded runs: export and import, replay, back-test, drift, score, compare, report.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
"""The commands below `pointsman eval`."""

app.command("export")(traces.export)
app.command("import")(traces.import_)
app.command("list")(traces.list_)
app.command("replay")(replaying.replay)
app.command("backtest")(trying.backtest)
app.command("drift")(trying.drift)
app.command("case")(cases.case)
app.command("score")(scores.score)
app.command("compare")(gating.compare)
app.command("report")(gating.report)

__all__ = ["app"]
