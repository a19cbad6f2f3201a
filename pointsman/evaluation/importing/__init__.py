"""Traces of others: read from the formats in which people keep them, whole or not at all.

What a format does not say is named (`Trace.missing`) and left out; nothing is estimated here.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pointsman.errors import BadInput
from pointsman.evaluation import archive
from pointsman.evaluation.importing import chat, langsmith, otlp
from pointsman.evaluation.trace import Trace

MAX_BYTES = 2_000_000_000
"""How large a file may be when it is unpacked."""

_READERS: tuple[tuple[Callable[[list[Any]], bool], Callable[[list[Any]], Iterator[Trace]]], ...] = (
    (otlp.is_otlp, otlp.traces),
    (langsmith.is_langsmith, langsmith.traces),
    (chat.is_chat, chat.traces),
)


def traces_in(file: Path) -> tuple[Trace, ...]:
    """The traces that a file holds, gzipped or not: our own export, LangSmith runs, chat trajectories, OTLP JSON; as JSON or JSON lines.

    Raises `BadInput` that says what is wrong, and where.
    """
    text = _text(file)
    if archive.is_archive(text):
        return archive.unique(archive.load(text, str(file)), str(file))
    documents = _documents(text, file)
    for fits, read in _READERS:
        if fits(documents):
            try:
                return archive.unique(read(documents), str(file))
            except BadInput as error:
                raise _refused(file, error.what) from error
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, ArithmeticError, OSError) as error:
                raise _refused(file, f"it is not of the form it seems to be ({type(error).__name__}: {error})") from error
    raise _refused(
        file,
        "it is neither an export of pointsman, nor LangSmith runs, chat trajectories (`traj` or `messages`), or OTLP JSON (`resourceSpans`)",
    )


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise _refused(file, f"it has more than {MAX_BYTES} bytes")
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            with gzip.open(file) as packed:
                content = packed.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise _refused(file, f"it has more than {MAX_BYTES} bytes when it is unpacked")
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise _refused(file, f"it cannot be read ({error})") from error
    except UnicodeDecodeError as error:
        raise _refused(file, f"it is no text in UTF-8 ({error})") from error


def _documents(text: str, file: Path) -> list[Any]:
    """The items of a JSON list, the values of JSON lines, or the one document."""
    try:
        whole = archive.parsed(text)
        return whole if isinstance(whole, list) else [whole]
    except (ValueError, RecursionError) as error:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].lstrip().startswith("{"):
            raise _refused(file, f"it is no JSON ({error})") from error
    found = []
    for number, line in lines:
        try:
            found.append(archive.parsed(line))
        except (ValueError, RecursionError) as error:
            raise _refused(file, f"line {number} is no JSON ({error})") from error
    return found


def _refused(file: Path, what: str) -> BadInput:
    return BadInput(f"{file}: {what}", undone="nothing was imported", remedy="give a file that `pointsman eval import --help` names")
