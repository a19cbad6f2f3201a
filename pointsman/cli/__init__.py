"""The command line: a thin face of `Runs`. Every command says what happened and what to type next, and with `--json` the same for a machine."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from pointsman.cli import act, evaluation, look, narrow, new, settle, start


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """As typer's; with `--json` a line that cannot be read as a command is told on stdout too, in the form of every other error."""
        typed = tuple(ctx.args)  # what follows the command's name, before anything of it is taken
        try:
            return super().invoke(ctx)
        except Exception as error:
            worded = getattr(error, "format_message", None)  # typer keeps a click of its own, whose errors have no public name
            if worded is not None and "--json" in typed:
                told = {
                    "type": "BadInput",
                    "what": worded(),
                    "undone": "nothing was done",
                    "remedy": f"see `{(getattr(error, 'ctx', None) or ctx).command_path} --help`",
                }
                sys.stdout.write(json.dumps({"error": told}) + "\n")
            raise


app = typer.Typer(
    name="pointsman",
    cls=_Commands,
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
app.command("reinstate")(narrow.reinstate)
app.command("doctor")(look.doctor)
app.add_typer(evaluation.app)

__all__ = ["app"]
