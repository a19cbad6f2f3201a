"""How the sample invoices look: five layouts, drawn with reportlab from the same facts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

CENT: Final = Decimal("0.01")
MARGIN: Final = 57
GREY: Final = HexColor("#666666")
Style = Literal["de", "en", "ch"]


@dataclass(frozen=True)
class Item:
    """One line of goods: quantity and price in plain decimals, tax rate in per cent."""

    name: str
    quantity: str
    price: str
    rate: str = "19"

    @property
    def net(self) -> Decimal:
        """Quantity times price, to the cent."""
        return (Decimal(self.quantity) * Decimal(self.price)).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True)
class Paper:
    """The facts of one sample. Dates and labels are written as they are printed; `said` replaces printed amounts by name."""

    layout: Literal["letter", "boxed", "modern", "plain", "stacked"]
    style: Style
    title: str
    seller: tuple[str, ...]
    buyer: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]
    labels: dict[str, str]
    currency: str = "EUR"
    sign: str = "€"
    prepaid: str = ""
    foot: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    said: dict[str, str] = field(default_factory=dict)
    colour: str = "#1f3a5f"

    @property
    def net(self) -> Decimal:
        """The sum of the items."""
        return sum((item.net for item in self.items), Decimal(0))

    @property
    def taxes(self) -> list[tuple[str, Decimal, Decimal]]:
        """Rate, basis and tax for each rate, highest rate first."""
        rates = sorted({item.rate for item in self.items}, key=Decimal, reverse=True)
        bases = [sum((item.net for item in self.items if item.rate == rate), Decimal(0)) for rate in rates]
        return [
            (rate, basis, (basis * Decimal(rate) / 100).quantize(CENT, ROUND_HALF_UP)) for rate, basis in zip(rates, bases, strict=True)
        ]

    @property
    def tax(self) -> Decimal:
        """The sum of the taxes."""
        return sum((tax for _, _, tax in self.taxes), Decimal(0))

    @property
    def total(self) -> Decimal:
        """What is charged."""
        return self.net + self.tax


def money(value: Decimal, style: Style) -> str:
    """An amount in German, English or Swiss notation."""
    plain = f"{value:,.2f}"
    if style == "de":
        return plain.translate(str.maketrans(",.", ".,"))
    return plain.replace(",", "'") if style == "ch" else plain


def draw(paper: Paper, author: str = "", key: str = "") -> bytes:
    """The PDF of a paper, the same bytes each time. With `key` it opens only with that password."""
    out = io.BytesIO()
    size = LETTER if paper.currency == "USD" else A4
    encryption = StandardEncryption(key, ownerPassword=key + "-owner", strength=128) if key else None
    page = Canvas(out, pagesize=size, invariant=1, encrypt=encryption, pageCompression=1)
    page.setTitle(paper.title)
    page.setAuthor(author or paper.seller[0])
    {"letter": _letter, "boxed": _boxed, "modern": _modern, "plain": _plain, "stacked": _stacked}[paper.layout](page, paper, size)
    page.showPage()
    page.save()
    return out.getvalue()


def _letter(page: Canvas, paper: Paper, size: tuple[float, float]) -> None:
    """A German business letter: sender's line and address window, facts at the right."""
    width, height = size
    page.setFillColor(HexColor(paper.colour))
    page.setFont("Helvetica-Bold", 17)
    page.drawRightString(width - MARGIN, height - 60, paper.seller[0])
    page.setFillColor(GREY)
    page.setFont("Helvetica", 7)
    page.drawString(MARGIN, height - 128, " · ".join(paper.seller[:3]))
    page.setFillColor(HexColor("#000000"))
    _column(page, paper.buyer, MARGIN, height - 146)
    _facts(page, paper, width - 230, height - 146, 120)
    page.setFont("Helvetica-Bold", 14)
    page.drawString(MARGIN, height - 268, paper.title)
    below = _column(page, paper.text, MARGIN, height - 292)
    _sums(page, paper, width, _table(page, paper, width, below - 12) - 12)
    _foot(page, paper, width)


def _boxed(page: Canvas, paper: Paper, size: tuple[float, float]) -> None:
    """A coloured band with the title, the parties in two labelled blocks one above the other."""
    width, height = size
    page.setFillColor(HexColor(paper.colour))
    page.rect(0, height - 80, width, 80, stroke=0, fill=1)
    page.setFillColor(HexColor("#ffffff"))
    page.setFont("Helvetica-Bold", 22)
    page.drawString(MARGIN, height - 52, paper.title)
    page.setFillColor(HexColor("#000000"))
    below = height - 108
    for label, party in ((paper.labels["seller"], paper.seller), (paper.labels["buyer"], paper.buyer)):
        page.setFont("Helvetica-Bold", 8)
        page.drawString(MARGIN, below, label)
        below = _column(page, party, MARGIN, below - 13) - 8
    _facts(page, paper, width - 260, height - 108, 130)
    below = _column(page, paper.text, MARGIN, below)
    _sums(page, paper, width, _table(page, paper, width, below - 6) - 12)
    _foot(page, paper, width)


def _modern(page: Canvas, paper: Paper, size: tuple[float, float]) -> None:
    """An English layout: the company at the top, a large title, `Bill to` at the left and the facts at the right."""
    width, height = size
    page.setFont("Helvetica-Bold", 12)
    page.drawString(MARGIN, height - 60, paper.seller[0])
    _column(page, paper.seller[1:], MARGIN, height - 75)
    page.setFillColor(HexColor(paper.colour))
    page.setFont("Helvetica-Bold", 26)
    page.drawRightString(width - MARGIN, height - 66, paper.title)
    page.setFillColor(HexColor("#000000"))
    page.setFont("Helvetica-Bold", 9)
    page.drawString(MARGIN, height - 150, paper.labels["buyer"])
    below = _column(page, paper.buyer, MARGIN, height - 164)
    _facts(page, paper, width - 250, height - 222, 110)
    below = _column(page, paper.text, MARGIN, min(below, height - 222 - 14 * len(paper.facts)) - 14)
    _sums(page, paper, width, _table(page, paper, width, below - 6) - 12)
    _foot(page, paper, width)


def _plain(page: Canvas, paper: Paper, size: tuple[float, float]) -> None:
    """A letter without figures."""
    width, height = size
    page.setFont("Helvetica-Bold", 13)
    page.drawString(MARGIN, height - 60, paper.seller[0])
    _column(page, paper.seller[1:], MARGIN, height - 75)
    _column(page, paper.buyer, MARGIN, height - 150)
    page.setFont("Helvetica-Bold", 12)
    page.drawString(MARGIN, height - 260, paper.title)
    _column(page, paper.text, MARGIN, height - 290)
    _foot(page, paper, width)


def _stacked(page: Canvas, paper: Paper, size: tuple[float, float]) -> None:
    """A form whose labels were drawn first and whose values came later, as programs print into one: in the text they stand apart."""
    width, height = size
    page.setFont("Helvetica-Bold", 13)
    page.drawString(MARGIN, height - 60, paper.seller[0])
    _column(page, paper.seller[1:], MARGIN, height - 75)
    _column(page, paper.buyer, MARGIN, height - 150)
    page.setFont("Helvetica-Bold", 14)
    page.drawString(MARGIN, height - 240, paper.title)
    _column(page, paper.text, MARGIN, height - 264)
    named = [*paper.facts, *((f"{label}:", f"{value} {paper.sign}") for label, value in _sum_rows(paper))]
    _column(page, [label for label, _ in named], MARGIN, height - 310)
    _column(page, [value for _, value in named], MARGIN + 150, height - 310)
    _foot(page, paper, width)


def _column(page: Canvas, lines: Sequence[str], left: float, top: float) -> float:
    page.setFont("Helvetica", 9.5)
    for line in lines:
        page.drawString(left, top, line)
        top -= 13
    return top


def _facts(page: Canvas, paper: Paper, left: float, top: float, gap: float) -> None:
    for label, value in paper.facts:
        page.setFont("Helvetica", 9)
        page.setFillColor(GREY)
        page.drawString(left, top, label)
        page.setFillColor(HexColor("#000000"))
        page.drawString(left + gap, top, value)
        top -= 14


def _table(page: Canvas, paper: Paper, width: float, top: float) -> float:
    right = width - MARGIN
    places = (right - 210, right - 130, right - 75, right)
    heads = paper.labels["columns"].split("|")
    page.setFont("Helvetica-Bold", 9)
    page.drawString(MARGIN, top, heads[0])
    for head, place in zip(heads[1:], places, strict=True):
        page.drawRightString(place, top, head)
    page.line(MARGIN, top - 4, right, top - 4)
    page.setFont("Helvetica", 9)
    for item in paper.items:
        top -= 17
        page.drawString(MARGIN, top, item.name)
        cells = (item.quantity, money(Decimal(item.price), paper.style), f"{_rate(item.rate, paper.style)} %", money(item.net, paper.style))
        for cell, place in zip(cells, places, strict=True):
            page.drawRightString(place, top, cell)
    page.line(MARGIN, top - 6, right, top - 6)
    return top - 12


def _rate(rate: str, style: Style) -> str:
    return rate.replace(".", ",") if style == "de" else rate


def _sum_rows(paper: Paper) -> list[tuple[str, str]]:
    """The labels and amounts below the items, as they are printed."""
    labels = paper.labels
    rows = [(labels["net"], paper.said.get("net") or money(paper.net, paper.style))]
    for rate, basis, tax in paper.taxes:
        label = labels["tax"].format(rate=_rate(rate, paper.style), basis=money(basis, paper.style))
        rows.append((label, paper.said.get("tax") or money(tax, paper.style)))
    rows.append((labels["total"], paper.said.get("total") or money(paper.total, paper.style)))
    if paper.prepaid:
        paid = Decimal(paper.prepaid)
        rows += [(labels["prepaid"], money(-paid, paper.style)), (labels["due"], money(paper.total - paid, paper.style))]
    return rows


def _sums(page: Canvas, paper: Paper, width: float, top: float) -> None:
    labels = paper.labels
    for label, value in _sum_rows(paper):
        strong = label in (labels["total"], labels.get("due"))
        page.setFont("Helvetica-Bold" if strong else "Helvetica", 10 if strong else 9)
        page.drawString(width - MARGIN - 230, top, label)
        page.drawRightString(width - MARGIN, top, f"{value} {paper.sign}" if paper.style == "de" else f"{paper.sign} {value}")
        top -= 16


def _foot(page: Canvas, paper: Paper, width: float) -> None:
    page.setFillColor(GREY)
    page.setFont("Helvetica", 7.5)
    for place, line in enumerate(reversed(paper.foot)):
        page.drawCentredString(width / 2, 36 + 11 * place, line)
