"""The command line: a thin face of `Runs`. Every command says what happened and what to type next, and with `--json` the same for a machine."""

from __future__ import annotations

import typer

from pointsman.cli import act, evaluation, look, narrow, new, settle, start

app = typer.Typer(
    name="pointsman",
    help="Runs AI workflows in which the workflow controls the next step. Exit code 0: done, 1: a finding or a failure, 2: wrong use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
"""What the console script `pointsman` calls."""

app.command("new")(new.new)
app.command("run")(start.run)
app.command("runs")(look.runs)
app.command("show")(look.show)
app.command("inbox")(look.inbox)
app.command("approve")(settle.approve)
app.command("reject")(settle.reject)
app.command("edit")(settle.edit)
app.command("answer")(settle.answer)
app.command("resume")(act.resume)
app.command("rerun")(act.rerun)
app.command("cancel")(act.cancel)
app.command("compensate")(act.compensate)
app.command("check")(narrow.check)
app.command("revoke")(narrow.revoke)
app.command("doctor")(look.doctor)
app.add_typer(evaluation.app)

__all__ = ["app"]
