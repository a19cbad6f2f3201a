"""What the demo prints: the documents by how they stand, what they cost, and what to type next."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pointsman import canonical
from pointsman.cli.printable import counted
from pointsman.cli.story import Call, Story
from pointsman.limit import Spend
from pointsman.plain import plain
from pointsman.runs import Item
from samples.stage import POINTSMAN

TRUTH: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "invoices.json").read_text(encoding="utf-8"))
"""What a clerk who has the paper at hand, or calls the sender, finds out."""

ENDS = {
    "posted": "green", "waiting for a clerk": "yellow", "waiting for a controller": "yellow",
    "parked": "red", "quarantined": "magenta", "failed": "red",
}  # fmt: skip
"""How a document can stand, and its colour."""


@dataclass(frozen=True)
class Told:
    """One document: its run's story, what the batch found, whether it had settled before, and what it waits for."""

    name: str
    story: Story | None
    finding: str
    again: bool
    item: Item | None

    @property
    def end(self) -> str:
        """How it stands, in the words of this house."""
        state = self.story.shown_state if self.story else "refused"
        if state == "waiting" and self.item is not None:
            return f"waiting for a {self.item.role}"
        return "posted" if state == "done" else state

    @property
    def read_by(self) -> list[Call]:
        """The calls of a model."""
        return [call for step in self.story.steps for call in step.calls if call.effect == "model"] if self.story else []

    @property
    def unanswered(self) -> str:
        """Why no model read it, where one should have: not because it abstained."""
        steps = [step for step in self.story.steps if step.node == "interpret"] if self.story else []
        return steps[-1].reason or "" if steps and steps[-1].exit not in ("answered", "abstained") else ""

    def came(self) -> str:
        """What came of it, in one line."""
        if self.story is None:
            return self.finding
        if self.item is not None and self.item.kind == "question":
            return "; ".join(f"[{finding['code']}] {finding['text']}" for finding in self.item.card["shows"]["findings"])
        models = dict.fromkeys(call.target for call in self.read_by if call.outcome == "done")
        read = f", read by {', '.join(models)}" if models else ""
        if self.item is not None:
            return f"{_amount(self.item.card['arguments']['invoice'])}: {self.item.card['reason']}{read}"
        asks = [ask for step in self.story.steps for ask in step.asks]
        if self.end == "quarantined" and asks:
            return f"given up by {asks[-1].by}: {asks[-1].note or 'no reason given'}"
        if self.end == "posted":
            return _amount(next(value.tree for value in self.story.outputs if value.name == "invoice")) + read
        return self.story.gist


def show(console: Console, told: Sequence[Told], keys: Mapping[str, Mapping[str, int]] | None) -> None:
    """Print it all."""
    for end in dict.fromkeys([*ENDS, *(one.end for one in told)]):
        chosen = [one for one in told if one.end == end]
        if chosen:
            console.print(Text.assemble((end, f"bold {ENDS.get(end, 'red')}"), f" ({len(chosen)})"))
            console.print(_table(chosen))
    before = sum(one.again for one in told)
    ends = " · ".join(f"{end} {number}" for end in ENDS if (number := sum(one.end == end for one in told)) or end == "parked")
    console.print(f"\n[bold]{ends}[/bold]" + (f"   ({before} of {len(told)} had settled before this start)" if before else ""))
    for line in _spent(told):
        console.print(line, markup=False)
    if keys is None:
        console.print("The ledger is gone: start this again, and it goes on.")
        return
    applied, twice = (sum(count["applied"] > times for count in keys.values()) for times in (0, 1))
    console.print(f"The ledger holds {applied} idempotency keys, {f'{twice} APPLIED TWICE' if twice else 'each applied once'}.\n")
    for line in following(told):
        console.print(line, markup=False, soft_wrap=True)


def _table(told: Sequence[Told]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    for width in (0, 25, 8):
        table.add_column(no_wrap=True, width=width)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for one in told:
        table.add_row("", Text(plain(one.name)), Text((one.story.short if one.story else "–"), "dim"), Text(plain(one.came())))
    return table


def _amount(invoice: Any) -> str:
    fields = canonical.decode(invoice)
    return f"{Decimal(fields['total']):,.2f} {fields['currency']}"


def _spent(told: Sequence[Told]) -> Iterator[str]:
    spend, seconds = Spend(), 0.0
    for one in told:
        if one.story is not None:
            spend += Spend.of(one.story.spend)
            seconds += one.story.seconds
    yield f"Spent {counted(spend.tool_calls, 'tool call')}, {seconds:.1f} s of work."
    names = dict.fromkeys(call.target for one in told for call in one.read_by if call.sends)
    if names:
        yield f"Asked {', '.join(names)}: {counted(spend.model_calls, 'call')}, {counted(spend.tokens, 'token')}, ${spend.usd}."
    else:
        yield "No model was asked."
    for reason, number in Counter(reason for one in told if (reason := one.unanswered)).items():
        yield f"{counted(number, 'document')} without an answer: {plain(reason)}"
    if any("recorded" in name for name in names):
        yield "RECORDED ANSWERS: no model gave them, they were written for these documents (samples/recorded_answers.json)."
        yield "POINTSMAN_MODEL=openai:NAME and OPENAI_API_KEY ask a model instead; --no-model asks none. Use a POINTSMAN_HOME of its own."


def following(told: Sequence[Told]) -> Iterator[str]:
    """The next commands: read a run, look at what waits, decide it. Typed one after the other they take every document to its end."""
    waiting = [(one, one.item) for one in told if one.item is not None]
    example = next((one for one in told if one.read_by and one.story), told[0])
    yield "Next. Read how one of them came about, and what waits for a person:"
    yield f"  {POINTSMAN} show {example.story.short if example.story else ''}"
    yield f"  {POINTSMAN} inbox"
    clerks = [line for one, item in waiting if item.role == "clerk" for line in _clerk(one, item)]
    if clerks:
        yield "Be lee, the clerk, who has asked the senders; without --set a form asks for each field:"
        yield from clerks
    controllers = [item for _, item in waiting if item.role == "controller"]
    if controllers:
        yield "Be dana, the controller; yes to exactly what is on the card:"
        yield from (f"  {POINTSMAN} approve {item.approval_id[:8]} --as dana --note ordered" for item in controllers)
    for one in told:
        if (
            one.end == "quarantined"
            and "rejected" in TRUTH.get(one.name, {})
            and one.story
            and any(s.node == "person" for s in one.story.steps)
        ):
            yield f"{one.name} was given up by the clerk; should the sender mend it after all, this asks again:"
            yield f"  {POINTSMAN} rerun {one.story.short} --node person --reason 'the amounts came by telephone'"
    if not waiting:
        yield "Nothing waits. Prove that a record is whole:"
        yield f"  {POINTSMAN} show {example.story.short if example.story else ''} --verify"


def _clerk(one: Told, item: Item) -> Iterator[str]:
    truth, short = TRUTH.get(one.name, {}), item.approval_id[:8]
    if "rejected" in truth:
        yield f"  {POINTSMAN} reject {short} --as lee --note {shlex.quote(truth['rejected'])}"
        return
    draft = canonical.decode(item.card["shows"]["draft"])["invoice"]
    changes = [f"invoice.{name}={value}" for name, value in truth.get("fields", {}).items() if not _equal(draft[name], value)]
    changes += [f"confirmed={json.dumps(truth['confirmed'])}"] if "confirmed" in truth else []
    yield f"  {POINTSMAN} answer {short} --as lee " + " ".join(f"--set {shlex.quote(change)}" for change in changes)


def _equal(present: Any, value: Any) -> bool:
    return present == Decimal(value) if isinstance(present, Decimal) else str(present) == str(value)
