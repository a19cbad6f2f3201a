"""The one way in which foreign text reaches a terminal: nothing in it is obeyed there."""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
"""Categories of characters that move the cursor, turn the line round, or are not seen at all."""

_MARKS = {"\n": "⏎", "\t": " "}


def plain(text: str, *, lines: bool = False) -> str:
    r"""`text` with nothing in it that a terminal obeys: ANSI, control, bidi and invisible characters stand as `\u{1b}`.

    Line breaks stand as ⏎ unless `lines` keeps them. What is returned is no rich markup either: print it as `rich.text.Text`.
    """
    return text if text.isprintable() else "".join(_shown(sign, lines) for sign in text.replace("\r\n", "\n"))


def _shown(sign: str, lines: bool) -> str:
    if sign in _MARKS:
        return sign if lines and sign == "\n" else _MARKS[sign]
    return f"\\u{{{ord(sign):x}}}" if unicodedata.category(sign) in _UNSEEN else sign
