"""A question as the person who decides is shown it: made by code from the card on record, foreign text quoted and made plain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pointsman import canonical
from pointsman.cli.printable import clipped, counted, is_file, moment, preview
from pointsman.cli.story import Ask, Value
from pointsman.plain import plain

ROOM, WIDE = 160, 600
"""Characters of a value in a step, and where somebody has to decide on it."""

NOTHING: tuple[Any, ...] = (None, "", [], {})
"""Values that are told by the names of what holds them."""

_LINES, _LINE = 40, 60
"""Where somebody decides on an object or a list: how many of its parts are shown, and from how many characters on each has a line of its own."""

_TEXT = 400
"""Where somebody decides on a text of several lines, a diff for example: how many of them are shown."""

_VOUCHES = {"untrusted": "nobody", "endorsed": "a person", "trusted": "the project"}

_KEPT_OUT = {"starter": "who started the run", "editor": "who put a value into it"}


def grid(lines: Iterable[tuple[str, Text]], indent: int = 2, width: int = 8) -> RenderableType:
    """Labelled lines, a label that repeats left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=width)
    table.add_column(overflow="fold")
    before = None
    for label, text in lines:
        table.add_row("" if label == before else label, text)
        before = label
    return Padding(table, (0, 0, 0, indent), expand=False) if table.row_count else Text()


def value_line(value: Value, room: int) -> Text:
    """A named value in about `room` characters; one that is cut where somebody decides on it is told by its length and digest."""
    shown = preview(value.tree, room) if value.kept else "(erased: its payload is gone)"
    if room >= WIDE and value.kept:
        size = len(canonical.dumps(value.tree))
        shown += f" · cut: {size:,} bytes in all, sha256 {canonical.digest_of(value.tree)[:16]}" if size > room else ""
    return Text.assemble((plain(value.name), "cyan"), f": {shown}")


def value_lines(value: Value) -> list[Text]:
    """A value on which somebody decides: a line for each part of it that holds something, and what is empty by name."""
    line = value_line(value, WIDE)
    try:
        tree = canonical.decode(value.tree) if value.kept and len(line.plain) > _LINE else None
    except (ValueError, TypeError, ArithmeticError):  # an altered record is shown as it is: it is `--verify` that judges
        tree = None
    if (not isinstance(tree, dict | list) and not _is_text(tree)) or (isinstance(tree, dict) and is_file(tree)):
        return [line]
    parts = list(_parts(value.name, tree))
    held = [(name, part) for name, part in parts if part not in NOTHING]
    empty = [name.removeprefix(f"{value.name}.") for name, part in parts if part in NOTHING]
    lines = [line for name, part in held[:_LINES] for line in _part_lines(name, part)]
    if empty:
        lines.append(Text.assemble((plain(value.name), "cyan"), ": nothing in ", clipped(", ".join(empty), WIDE)))
    if len(held) > _LINES or any(_is_cut(part) for _, part in held):
        more = f"{counted(len(held) - _LINES, 'more part')}; " if len(held) > _LINES else ""
        size = len(canonical.dumps(value.tree))
        lines.append(Text(f"cut: {more}{size:,} bytes in all, sha256 {canonical.digest_of(value.tree)[:16]}"))
    return lines


def _part_lines(name: str, part: Any) -> list[Text]:
    """A part of a value, on a line of its own; a text of several lines as it stands."""
    head = Text.assemble((plain(name), "cyan"), ":")
    if not _is_text(part):
        return [head.append(f" {preview(canonical.encode(part), WIDE)}")]
    return [head, *(Text(f"  {clipped(line, WIDE)}") for line in _text_lines(part)[:_TEXT])]


def _is_text(part: Any) -> bool:
    return isinstance(part, str) and "\n" in part.rstrip("\n")


def _text_lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _is_cut(part: Any) -> bool:
    if _is_text(part):
        lines = _text_lines(part)
        return len(lines) > _TEXT or any(len(plain(line)) > WIDE for line in lines)
    return isinstance(part, str) and len(part) > WIDE


def changes(before: Any, after: Any) -> str:
    """What is different in a value after somebody has put their hand to it, part by part; both are encoded trees."""
    old, new = (dict(_parts("", canonical.decode(tree))) for tree in (before, after))
    told = [
        f"{name.removeprefix('.') or 'the whole'}: {preview(canonical.encode(old.get(name)), _LINE)} → {preview(canonical.encode(new.get(name)), _LINE)}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    return f"{counted(len(told), 'change')}: {clipped('; '.join(told), WIDE)}" if told else "as it stood"


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a value by their paths; an object without objects in it, in a list, is one part."""
    if isinstance(value, dict) and value and not is_file(value):
        for key, part in value.items():
            yield from _parts(f"{name}.{clipped(str(key), 30)}", part)
    elif isinstance(value, list) and value and any(isinstance(part, dict | list) for part in value):
        for number, part in enumerate(value, 1):
            yield f"{name} {number}", part
    else:
        yield name, value


def card(ask: Ask, run: str | None = None) -> RenderableType:
    """The whole card, of a call or of a question for a value."""
    facts = ask.card if isinstance(ask.card, dict) else {}
    lines = _value_asked(facts) if ask.kind == "question" else _call_asked(ask, facts)
    lines += [("run", Text(run))] if run else []
    if ask.expires_at:
        lines.append(("expires", Text(moment(ask.expires_at))))
    lines.append(("card", Text(f"sha256 {plain(ask.card_digest)[:16]}", "dim")))
    if ask.kind == "question":
        what = Text.assemble(("A QUESTION ", "bold yellow"), (clipped(str(facts.get("question", "")), WIDE), "bold"))
    else:
        what = Text.assemble(("MAY THIS HAPPEN? ", "bold yellow"), (plain(ask.tool), "bold"), f" ({plain(str(facts.get('effect', '')))})")
    head = [("node", Text(plain(ask.node) + (f", rule {_rule(ask, facts)}" if _rule(ask, facts) else ""))), ("decides", _who(ask, facts))]
    return Group(what.append(f" · {ask.approval[:8]}"), grid([*head, *lines]))


def _rule(ask: Ask, facts: Mapping[str, Any]) -> str:
    return "" if ask.kind == "question" else plain(ask.rule or str(facts.get("rule", "")))


def _who(ask: Ask, facts: Mapping[str, Any]) -> Text:
    needs = [{**facts, "role": ask.role}, *facts.get("also", ())]
    said = ", ".join(map(plain, ask.approved_by))
    return Text(" and ".join(map(_need, needs)) + (f" (yes so far: {said})" if said else ""))


def _need(need: Mapping[str, Any]) -> str:
    parts = [plain(str(need.get("role") or "anybody"))]
    parts += [f"{need['quorum']} different people"] if need.get("quorum") else []
    parts += [f"not {_KEPT_OUT.get(word, plain(str(word)))}" for word in need.get("not_by", ())]
    return ", ".join(parts)


def _value_asked(facts: Mapping[str, Any]) -> list[tuple[str, Text]]:
    shown = facts.get("shows")
    lines = _named("shows", shown)
    return [*lines, ("answer", Text(f"goes into {plain(str(facts.get('writes', '')))}"))]


def _call_asked(ask: Ask, facts: Mapping[str, Any]) -> list[tuple[str, Text]]:
    lines = _named("with", facts.get("arguments"))
    lines += _vouched(facts.get("labels"))
    edited, corrects = facts.get("edited"), facts.get("corrects")
    if isinstance(edited, dict):
        lines.append(("edited", Text(f"by {plain(str(edited.get('by')))}; before that it was", "yellow")))
        lines += _named("edited", edited.get("before"))
    if isinstance(corrects, dict):
        lines.append(("corrects", Text(f"{plain(ask.tool)} has happened already, with", "yellow")))
        lines += _named("corrects", corrects.get("arguments"))
    if "preview" in facts:
        shown = facts["preview"]
        lines += _named(
            "preview", shown if isinstance(shown, dict) and not any(name.startswith("$") for name in shown) else {"it would": shown}
        )
    if facts.get("no_preview"):
        lines.append(("preview", Text(f"none: {clipped(str(facts['no_preview']), ROOM)}", "yellow")))
    if facts.get("compensation"):
        lines.append(("undone by", Text(plain(str(facts["compensation"])))))
    return lines


def _vouched(labels: Any) -> list[tuple[str, Text]]:
    """Who vouches for what the call is given, and that the run has taken in what must not travel."""
    told = {path: str(words).partition(" ") for path, words in labels.items() if path} if isinstance(labels, dict) else {}
    by = {word: [plain(path) for path, (integrity, _, _) in told.items() if integrity == word] for word in _VOUCHES}
    lines = [
        Text(f"{who} vouches for {', '.join(by[word])}", "yellow" if word == "untrusted" else "")
        for word, who in _VOUCHES.items()
        if by[word]
    ]
    lines += (
        [Text("the run has taken in what is restricted", "yellow")] if any(reach == "restricted" for _, _, reach in told.values()) else []
    )
    return [("labels", line) for line in lines]


def _named(label: str, arguments: Any) -> list[tuple[str, Text]]:
    given = arguments if isinstance(arguments, dict) else {}
    return [(label, line) for name, tree in given.items() for line in value_lines(Value(name, tree))]
