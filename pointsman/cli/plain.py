"""The one way in which foreign text reaches a terminal: nothing in it is obeyed there."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
"""Categories of characters that move the cursor, turn the line round, or are not seen at all."""

_MARKS = {"\n": "⏎", "\t": " "}


_ALIKE = frozenset(("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET", "FULLWIDTH", "MATHEMATICAL"))
"""Scripts with letters that look like those of another: a word that mixes them is not what it seems."""

_WORD = re.compile(r"\w[\w\u0300-\u036f]*")


def plain(text: str, *, lines: bool = False) -> str:
    r"""`text` with nothing in it that a terminal obeys: ANSI, control, bidi and invisible characters stand as `\u{1b}`.

    In a word that mixes scripts with look-alikes, the foreign letters stand so too: `p\u{430}ypal` is no paypal. Line breaks stand
    as ⏎ unless `lines` keeps them. What is returned is no rich markup either: print it as `rich.text.Text`.
    """
    if not text.isprintable():
        text = "".join(_shown(sign, lines) for sign in text.replace("\r\n", "\n"))
    return text if text.isascii() else _WORD.sub(_told_apart, text)


def _told_apart(found: re.Match[str]) -> str:
    word = found.group()
    scripts = Counter(script for sign in word if (script := _script(sign)))
    if word.isascii() or len(scripts) < 2:
        return word
    own = "LATIN" if "LATIN" in scripts else scripts.most_common(1)[0][0]
    return "".join(f"\\u{{{ord(sign):x}}}" if _script(sign) not in (own, "") else sign for sign in word)


@lru_cache(maxsize=4096)
def _script(sign: str) -> str:
    """The script of a letter, where it has look-alikes in others; empty for any other sign."""
    name = unicodedata.name(sign, "").partition(" ")[0] if sign.isalpha() else ""
    return name if name in _ALIKE else ""


def _shown(sign: str, lines: bool) -> str:
    if sign in _MARKS:
        return sign if lines and sign == "\n" else _MARKS[sign]
    return f"\\u{{{ord(sign):x}}}" if unicodedata.category(sign) in _UNSEEN else sign
