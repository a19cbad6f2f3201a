"""`make demo`: the sample invoices through the invoice workflow, with a ledger of its own in a process of its own.

Start it again and nothing is posted twice. Kill it, or the ledger, or the database, wherever you like: the next start goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pointsman.home import data_folder

DOCUMENTS = Path(__file__).parent / "invoices"
WORDS = {"done": "posted"}
"""What an end of the workflow means in this house."""

REPAIRS = {"2024-118.pdf": "--node check --set invoice.total=1870.68 --set invoice.due=1870.68"}
"""What a clerk would type for a document that parks: the printed total is wrong."""

IDLE = 900
"""Seconds for which the ledger stays, so that the commands printed at the end find it."""

STYLES = {"posted": "green", "parked": "yellow", "quarantined": "magenta"}


def main() -> int:
    """Run the demo. Returns the exit code of the batch."""
    console = Console()
    url = ledger(data_folder() / "ledger")
    with console.status(f"{len(list(DOCUMENTS.iterdir()))} documents through the invoice workflow …"):
        command = [sys.executable, "-m", "pointsman.cli", "run", "invoice", "--batch", str(DOCUMENTS), "--json"]
        batch = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if not batch.stdout.strip():
        return batch.returncode or 1
    show(console, json.loads(batch.stdout), url)
    return batch.returncode


def ledger(folder: Path) -> str:
    """The URL of the ledger of a folder: one that serves already, or a new one, which ends by itself when nobody asks it any more."""
    folder.mkdir(parents=True, exist_ok=True)
    if (found := serving(folder)) is None:
        with (folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "tools.ledger.service", "--dir", str(folder), "--idle", str(IDLE)]
            subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 30
    while (found := serving(folder)) is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"the ledger did not start; see {folder / 'log'}")
        time.sleep(0.05)
    return found


def serving(folder: Path) -> str | None:
    """The URL of the ledger that answers for a folder."""
    try:
        url = (folder / "url").read_text().strip()
        return url if asked(url, "/health")["ok"] else None
    except (OSError, ValueError, KeyError):
        return None


def asked(url: str, path: str) -> Any:
    """What the ledger answers to a GET."""
    with urlopen(url + path, timeout=5) as answer:
        return json.load(answer)


def show(console: Console, batch: dict[str, Any], url: str) -> None:
    """The table, the spend, what the ledger counted, and what to type next."""
    table = Table("document", "end", "run", "what came of it", box=None, pad_edge=False, header_style="bold")
    for document in batch["documents"]:
        end = WORDS.get(document["state"], document["state"])
        told = "entered in the ledger, archived" if end == "posted" else document["finding"].replace("\n", "; ")
        shown = told if len(told) <= 110 else told[:109] + "…"
        table.add_row(document["document"], Text(end, STYLES.get(end, "red")), (document["run"] or "")[:8], Text(shown))
    console.print(table)
    ends = " · ".join(f"{WORDS.get(state, state)} {number}" for state, number in batch["counts"].items())
    again = sum(document["again"] for document in batch["documents"])
    spend = batch["spend"]
    console.print(f"\n[bold]{ends}[/bold]" + (f"   ({again} of them settled before this start)" if again else ""))
    console.print(f"Spent {spend.get('tool_calls', 0)} tool calls, {spend['seconds']} s of work, no model call.")
    try:
        counts = asked(url, "/counts")
    except OSError:
        console.print("The ledger is gone: start this again, and it goes on.")
        return
    applied = [key for key, count in counts.items() if count["applied"]]
    twice = [key for key, count in counts.items() if count["applied"] > 1]
    console.print(
        f"The ledger holds {len(applied)} idempotency keys, {'each applied once' if not twice else f'{len(twice)} APPLIED TWICE'}.\n"
    )
    for line in following(batch["documents"]):
        console.print(line, highlight=False)


def following(documents: list[dict[str, Any]]) -> Iterator[str]:
    """The next two commands: read a parked document's run, and repair it."""
    parked = next((d for d in documents if d["state"] == "parked" and d["document"] in REPAIRS), None)
    chosen = parked or documents[0]
    run = str(chosen["run"])[:8]
    yield "Next:"
    yield f"  .venv/bin/pointsman show {run}"
    if parked:
        yield f"  .venv/bin/pointsman rerun {run} {REPAIRS[parked['document']]}"
    else:
        yield f"  .venv/bin/pointsman show {run} --verify"


if __name__ == "__main__":
    sys.exit(main())
