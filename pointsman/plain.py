"""The one way in which foreign text reaches a terminal or a page: nothing in it is obeyed there."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
"""Categories of characters that move the cursor, turn the line round, or are not seen at all."""

_MARKS = {"\n": "⏎", "\t": " "}

_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks that are not seen either, whatever their category says (Unicode's default ignorable ones, and the blank of braille)."""

_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]"

_PILE = re.compile(f"({_MARK}{{3}})({_MARK}+)")
"""More marks on one letter than any language has: they cover the lines around it."""

_TWINS = frozenset("асеорхуіјѕһԁԛԝӏүАВЕЅІЈКМНОРСТХҮԌοανυρικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
"""Cyrillic and Greek letters that cannot be told from Latin ones."""


_ALIKE = frozenset(("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET", "FULLWIDTH", "MATHEMATICAL"))
"""Scripts with letters that look like those of another: a word that mixes them is not what it seems."""

_WORD = re.compile(r"\w[\w\u0300-\u036f]*")


def plain(text: str, *, lines: bool = False) -> str:
    r"""`text` with nothing in it that a terminal obeys: ANSI, control, bidi and invisible characters stand as `\u{1b}`.

    In a word that mixes scripts with look-alikes, the foreign letters stand so too: `p\u{430}ypal` is no paypal. So does a text whose
    Cyrillic or Greek letters are all twins of Latin ones: nothing else in it says that they are what they are. Line breaks stand as ⏎
    unless `lines` keeps them. What is returned is no rich markup either: print it as `rich.text.Text`.
    """
    if not text.isprintable():
        text = "".join(_shown(sign, lines) for sign in text.replace("\r\n", "\n"))
    if text.isascii():
        return text
    foreign = {sign for sign in text if _script(sign) in ("CYRILLIC", "GREEK")}
    if foreign and foreign <= _TWINS:
        text = "".join(_written(sign) if sign in foreign else sign for sign in text)
    text = _PILE.sub(lambda pile: f"{pile[1]}\\u{{… {len(pile[2]):,} marks}}", text)
    return _BLANK.sub(lambda blank: _written(blank[0]), _WORD.sub(_told_apart, text))


def _told_apart(found: re.Match[str]) -> str:
    word = found.group()
    scripts = Counter(script for sign in word if (script := _script(sign)))
    if word.isascii() or len(scripts) < 2:
        return word
    own = "LATIN" if "LATIN" in scripts else scripts.most_common(1)[0][0]
    return "".join(_written(sign) if _script(sign) not in (own, "") else sign for sign in word)


def _written(sign: str) -> str:
    return f"\\u{{{ord(sign):x}}}"


@lru_cache(maxsize=4096)
def _script(sign: str) -> str:
    """The script of a letter, where it has look-alikes in others; empty for any other sign."""
    name = unicodedata.name(sign, "").partition(" ")[0] if sign.isalpha() else ""
    return name if name in _ALIKE else ""


def _shown(sign: str, lines: bool) -> str:
    if sign in _MARKS:
        return sign if lines and sign == "\n" else _MARKS[sign]
    return _written(sign) if unicodedata.category(sign) in _UNSEEN else sign
