"""The story of a run as a page for the terminal."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pointsman.cli.card import NOTHING, ROOM, WIDE, card, changes, grid, value_line
from pointsman.cli.printable import clipped, counted, duration, moment, preview
from pointsman.cli.story import Ask, Call, Failure, Mark, Next, Step, Story, Value
from pointsman.plain import plain

STYLE = {
    "done": "green", "parked": "red", "failed": "red", "quarantined": "magenta", "cancelled": "dim", "waiting": "yellow",
    "refused": "red", "unknown": "bold red", "open": "bold red", "denied": "red", "rejected": "red", "expired": "red", "limit": "red",
}  # fmt: skip
"""Colours by state and outcome; every one of them also stands there as a word."""

_TARGETS = {"__end__": "end"}

_ASKED = 80
"""Characters of the arguments with which a model asks for a call."""


def page(story: Story) -> RenderableType:
    """The whole page: head, steps in order, trouble and questions, next commands."""
    parts: list[RenderableType] = [_head(story), Text()]
    for chapter in story.chapters:
        parts += [_step(chapter), Text()] if isinstance(chapter, Step) else [_mark(chapter), Text()]
    return Group(*parts, *_matters(story))


def ending(story: Story) -> RenderableType:
    """How a run stands, without its steps: what a command that advanced it says."""
    lines = [*_outcome(story), *_came(story)]
    return Group(_title(story), *([grid(lines)] if lines else []), Text(), *_matters(story))


def following(next_commands: Iterable[Next], program: str | None = None) -> RenderableType:
    """The commands that can be typed next, each on a line that can be copied: `pointsman` is called as it was for this one, or as `program`."""
    program = program or typed()
    lines = [
        line
        for step in next_commands
        for line in (
            Text(f"  {re.sub('^pointsman(?= )', lambda _: program, step.command)}", "bold", no_wrap=True, overflow="ignore"),
            Padding(Text(step.why, "dim"), (0, 0, 0, 6), expand=False),
        )
    ]
    return Group(Text("Next", "bold"), *lines) if lines else Text()


def typed(*, anywhere: bool = False) -> str:
    """How `pointsman` is typed here to get this very program: by its name where that finds it, else by its path; `anywhere`: from any folder."""
    called = Path(sys.argv[0])
    if called.name != "pointsman" or not called.is_file() or shutil.which("pointsman") == str(called.absolute()):
        return "pointsman"
    return shlex.quote(str(called.absolute() if anywhere else called))


def state(word: str) -> Text:
    """A state in its colour."""
    return Text(plain(word), STYLE.get(word, ""))


def rows(*, head: tuple[str, ...], least: tuple[int, ...] = (), folds: int = -1) -> Table:
    """An empty table in the style of all: no frame, one column (the last, else `folds`) takes what room there is and gives way where there is none."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    for number, name in enumerate(head):
        gives = number == folds % len(head)
        table.add_column(
            name, overflow="fold" if gives else "ellipsis", no_wrap=not gives, min_width=least[number] if number < len(least) else None
        )
    return table


def spent(story: Story) -> str:
    """What a run cost, in words."""
    names = {"tool_calls": ("tool call", ""), "model_calls": ("model call", ""), "tokens": ("token", ""), "approvals": ("approval", "")}
    parts = [counted(int(amount), *names[name]) for name, amount in story.spend.items() if name in names]
    money = [f"${story.spend['usd']}"] if "usd" in story.spend else []
    return ", ".join([*parts, *money, f"{duration(story.seconds)} of work"])


def verdict(faults: list[tuple[int, str]], events: int, payloads: int) -> RenderableType:
    """What the proof of a record came to."""
    if not faults:
        return Text(f"Verified: {counted(events, 'event')}, {counted(payloads, 'payload')}, chain whole.", "green")
    lines = [Text.assemble((f"  event {seq}  " if seq else "  the run  ", "bold red"), plain(what)) for seq, what in faults]
    return Group(Text(f"NOT WHOLE: {counted(len(faults), 'fault')} in the record", "bold red"), *lines)


def _title(story: Story) -> Text:
    branch = f" · {counted(story.reruns, 'rerun')}" if story.reruns else ""
    return Text.assemble(
        ("Run ", "bold"),
        (story.run, "bold"),
        " · ",
        plain(story.graph),
        " · ",
        (story.shown_state, f"bold {STYLE.get(story.shown_state, '')}"),
        branch,
    )


def _head(story: Story) -> RenderableType:
    lines = [("accepted", Text(moment(story.accepted_at) + (f" by {plain(story.by)}" if story.by else "")))]
    if story.state not in ("accepted", "running"):
        lines.append((story.shown_state, Text(moment(story.changed_at))))
    lines += [
        ("spent", Text(spent(story))),
        ("record", Text(f"{counted(story.events, 'event')}, version {(story.version or 'none yet')[:12]}")),
    ]
    if story.key:
        lines.append(("key", Text(clipped(story.key, 80))))
    lines += [("input", value_line(value, ROOM)) for value in story.inputs]
    return Group(_title(story), grid([*lines, *_outcome(story)]))


def _outcome(story: Story) -> list[tuple[str, Text]]:
    lines = [("reason", Text(clipped(story.reason, WIDE)))] if story.reason else []
    lines += [("undone", Text(f"by run {story.undone[:8]}", "yellow"))] if story.undone else []
    return lines + _outputs("output", [value for value in story.outputs if value.new])


def _came(story: Story) -> list[tuple[str, Text]]:
    """Why a person is asked for a value, where the step that led there said so: a model that is not configured looks like any doubt else."""
    asked = {ask.node for ask in story.questions if ask.kind == "question"}
    led = {node: step for step in story.steps if step.reason for node in step.to if node in asked}
    return [("because", Text(clipped(f"{step.node} ended by {step.exit or 'done'}: {step.reason}", WIDE))) for step in led.values()]


def _outputs(label: str, values: list[Value]) -> list[tuple[str, Text]]:
    empty = [plain(value.name) for value in values if value.kept and value.tree in NOTHING]
    lines = [(label, value_line(value, ROOM)) for value in values if not (value.kept and value.tree in NOTHING)]
    return lines + ([(label, Text(f"nothing in {', '.join(empty)}"))] if empty else [])


def _step(step: Step) -> RenderableType:
    depth = step.position.count("/")
    seconds = duration(step.seconds) if step.ended else _unended(step)
    notes = [f"branch {step.branch}"] if step.branch else []
    notes += [f"{step.tries} tries"] if step.tries > 1 else []
    notes += ["unchanged: recorded output kept"] if step.unchanged else [seconds]
    title = Text.assemble(
        (f"{step.number:>3}  ", "dim"),
        (plain(step.position), "bold"),
        ("   " + " · ".join(filter(None, notes)), "dim" if step.ended or step.inner else "red" if step.trouble else "yellow"),
    )
    lines = _inputs(step.inputs)
    lines += [line for call in step.calls for line in _call(call)]
    lines += [("asked", _ask(ask)) for ask in step.asks]
    lines += [("guard", Text(clipped(said, ROOM), "dim")) for said in step.guards]
    lines += _outputs("out", step.outputs)
    if step.to:
        lines.append(("then", _route(step)))
    return Padding(Group(title, *([grid(lines, indent=5, width=5)] if lines else [])), (0, 0, 0, 2 * depth), expand=False)


def _unended(step: Step) -> str:
    if step.trouble is not None:
        return "failed"
    if any(ask.state == "open" for ask in step.asks):
        return "waits for a person"
    return "" if step.inner else "not finished"


def _inputs(values: list[Value]) -> list[tuple[str, Text]]:
    """Values that the page has shown already stand by their names."""
    known = [plain(value.name) for value in values if not value.new]
    lines = [("in", Text(", ".join(known), "cyan"))] if known else []
    return lines + [("in", value_line(value, ROOM)) for value in values if value.new]


def _route(step: Step) -> Text:
    targets = ", ".join(plain(_TARGETS.get(target, target)) for target in step.to)
    how = f"decided by {step.decided_by}" + (f", exit {plain(step.exit)}" if step.exit not in (None, "done") else "")
    reason = f": {clipped(step.reason, ROOM)}" if step.reason else ""
    return Text.assemble("→ ", (targets, "bold"), (f"  ({how})", "dim"), reason)


def _call(call: Call) -> list[tuple[str, Text]]:
    if call.value is not None:
        return [("took", Text.assemble(plain(call.target), " = ", clipped(call.value, 60)))]
    others = ", ".join(plain(name) for name in call.matched if name != call.rule)
    facts = [f"{call.verdict} by rule {plain(call.rule or '')}{f' over {others}' if others else ''}"] if call.verdict else []
    facts += [f"key {call.key[:8]}"] if call.key else []
    facts += [f"sent {call.sends} times under one key"] if call.sends > 1 else []
    facts += [f"undone by {plain(call.undone_by)}"] if call.undone_by and call.outcome == "done" else []
    facts += [f"outcome told by {plain(call.told_by)}"] if call.told_by else []
    seconds = duration(float(call.spend["seconds"])) if "seconds" in call.spend else ""
    outcome = "given again, not repeated" if call.given else "no outcome on record" if call.outcome == "open" else call.outcome
    line = Text.assemble(
        (plain(call.target), "bold"),
        f" ({call.effect}) ",
        (outcome, STYLE.get(call.outcome, "")),
        f" {seconds}".rstrip(),
        (" · " + " · ".join(facts) if facts else "", "dim"),
    )
    lines = [("call", line)]
    if call.egress:
        lines.append(("", Text(sent_to(call.egress), "dim")))
    elif call.request is not None and call.request.kept and call.request.tree and not (call.given and call.effect == "model"):
        lines.append(("", Text(f"with {preview(call.request.tree, ROOM if call.effect == 'read' else WIDE)}", "dim")))
    if call.trouble is not None:
        lines.append(("", Text(f"{plain(call.trouble.type)}: {clipped(call.trouble.what, WIDE)}", "red")))
    elif call.result is not None and call.result.kept:
        lines.append(("", Text(_gave(call), "dim")))
    return lines


def _gave(call: Call) -> str:
    tree = call.result.tree if call.result is not None else None
    if call.effect != "model" or not isinstance(tree, dict) or "content" not in tree:
        return f"gave {preview(tree, ROOM)}"
    model = plain(str(tree.get("model") or call.target))  # the name that it gave itself: `recorded:…` is none
    asked = ", ".join(f"{plain(one['name'])} {preview(one['args'], _ASKED)}" for one in tree.get("tool_calls", ()))
    if asked:
        return f"{model} asked for {asked}" + (f" and said {preview(tree['content'], ROOM)}" if tree["content"] else "")
    return f"{model} gave {preview(tree['content'] or tree, ROOM)}"


def sent_to(egress: Mapping[str, Any]) -> str:
    """What left the house with a call of a model, in words: field by field, without what the fields hold."""
    fields = ", ".join(f"{plain(name)} ({_sent(sent)})" for name, sent in egress["fields"].items()) or "no declared field"
    return f"sent to {plain(egress['provider'])}:{plain(egress['model'])} at {plain(egress['host'] or 'its provider')}: {fields}; {counted(egress['bytes'], 'byte')} in all"


def _sent(field: Mapping[str, Any]) -> str:
    return counted(field["bytes"], "byte") + (f", digest {plain(field['digest'])[:12]}" if field.get("digest") else "")


def _ask(ask: Ask) -> Text:
    who = plain(ask.role or "anybody")
    rule = f", by rule {plain(ask.rule or '')}" if ask.kind == "approval" else ", a value"
    refused = f"; refused: {', '.join(map(plain, ask.refused))}" if ask.refused else ""
    if ask.state == "open":
        said = f"yes so far: {', '.join(map(plain, ask.approved_by))}" if ask.approved_by else "no answer yet"
        return Text.assemble(f"{who}{rule}: ", (said, "yellow"), refused)
    note = f', who wrote: "{clipped(ask.note, ROOM)}"' if ask.note else ""
    names = " and ".join(map(plain, ask.approved_by)) if len(ask.approved_by) > 1 else plain(ask.by or "")
    by = f" by {names} (known by {plain(ask.known_by or '?')})" if ask.by else ""
    value = f": {_given(ask)}" if ask.value is not None and ask.value.kept else ""
    return Text.assemble(f"{who}{rule}: ", (ask.state, STYLE.get(ask.state, "green")), by, value, note, refused)


def _given(ask: Ask) -> str:
    """What a person gave: what they changed of it, where the card showed them something to start from."""
    assert ask.value is not None
    facts = ask.card if isinstance(ask.card, dict) else {}
    before = facts.get("present") if ask.kind == "question" else facts.get("arguments")
    return preview(ask.value.tree, ROOM) if before is None else changes(before, ask.value.tree)


def _mark(mark: Mark) -> RenderableType:
    by = f" by {plain(mark.by)}" if mark.by else ""
    reason = f": {clipped(mark.reason, ROOM)}" if mark.reason else ""
    line = Text.assemble(("─── ", "dim"), (f"{clipped(mark.text, ROOM)}{by}{reason}", "yellow"))
    return Group(line, grid([("set", value_line(value, ROOM)) for value in mark.values], indent=5, width=5)) if mark.values else line


def _matters(story: Story) -> list[RenderableType]:
    """What needs a person, and what to type."""
    parts: list[RenderableType] = [Rule(style="dim")] if story.failure or story.questions or story.unknown else []
    if story.failure is not None:
        parts += [_failure(story.failure), Text()]
    for call in story.unknown:
        parts += [_unknown(call), Text()]
    for ask in story.questions:
        parts += [card(ask), Text()]
    return [*parts, following(story.next)] if story.next else parts[:-1]


def _failure(failure: Failure) -> RenderableType:
    where = f"in {plain(failure.position)}" if failure.position else "between two steps"
    title = Text.assemble(("PARKED ", "bold red"), (where, "bold"), f" · {plain(failure.trouble.type)}")
    lines = [("error", Text(clipped(failure.trouble.what, WIDE), "red"))]
    lines += [("do", Text(clipped(failure.trouble.remedy, WIDE), "bold"))] if failure.trouble.remedy else []
    lines += [("input", value_line(value, ROOM)) for value in failure.inputs]
    lines.append(("affects", Text(", ".join(map(plain, failure.affected)) or "nothing downstream")))
    return Group(title, grid(lines))


def _unknown(call: Call) -> RenderableType:
    lines = [("call", Text(f"{call.call} in {plain(call.position)}, sent {counted(call.sends, 'time')}, key {(call.key or '')[:16]}"))]
    if call.request is not None:
        lines.append(("with", Text(preview(call.request.tree, WIDE))))
    return Group(Text.assemble(("DID THIS HAPPEN? ", "bold red"), (plain(call.target), "bold")), grid(lines))
