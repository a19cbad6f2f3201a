"""Opening a document: the text of its pages and the XML it carries.

PDF and XML come from strangers. What is encrypted, empty, cut off or built to harm is set aside with its reason;
nothing here trusts a file's name.
"""

from __future__ import annotations

import io
import logging
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from pypdf import PageObject, PasswordType, PdfReader
from pypdf.errors import PyPdfError

from nodes.invoice.cii import MAX_XML, Hostile, Unreadable, digest, invoice_of, parse
from nodes.invoice.findings import Finding
from nodes.invoice.rules import problems
from nodes.invoice.state import Embedded, InvoiceState

MAX_DOCUMENT: Final = 50 * 1024 * 1024
"""Bytes of the largest document that is opened."""
MAX_PAGES: Final = 300
MAX_PAGE: Final = 5 * 1024 * 1024
"""Bytes of the longest drawing instructions of one page, unpacked."""
MAX_TEXT: Final = 2_000_000
"""Characters of the longest text that is read from one document."""
MAX_LINE: Final = 1000
"""Characters kept of one line: no printed line is longer, and the patterns that read it must not have to try for ever."""
MAX_ATTACHMENTS: Final = 50

_XML_NAMES: Final = ("factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml")


class SetAside(Exception):
    """The document is at fault and cannot be an invoice for us; its text is the reason."""


@dataclass(frozen=True)
class Pages:
    """What a PDF shows and carries: its text, how many pictures, and the bytes of its invoice XML, if any."""

    text: str
    images: int
    attached: tuple[bytes, ...]


def read_document(state: InvoiceState) -> InvoiceState:
    """Opens the document: writes `text`, `images` and `embedded`, or `reason` if it has to be set aside."""
    content = state["path"].read_bytes()
    try:
        if not content.strip(b"\0 \t\r\n"):
            raise SetAside(f"the document is empty ({len(content)} bytes)")
        if len(content) > MAX_DOCUMENT:
            raise SetAside(f"the document has {len(content)} bytes; at most {MAX_DOCUMENT} are opened")
        if b"%PDF-" in content[:1024]:
            pages = read_pdf(content)
            return {"text": pages.text, "images": pages.images, "embedded": read_attached(pages.attached)}
        if content.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<"):
            return {"text": "", "images": 0, "embedded": read_xml(content)}
        raise SetAside("the document is neither a PDF nor XML")
    except (SetAside, Hostile, Unreadable) as fault:
        return {"text": "", "images": 0, "embedded": None, "reason": str(fault)}


def read_xml(content: bytes) -> Embedded:
    """Reads CII XML. Raises `Hostile` or `Unreadable`."""
    root = parse(content)
    invoice = invoice_of(root)
    return Embedded(invoice=invoice, problems=tuple(problems(root, invoice)), digest=digest(root))


def read_attached(attached: tuple[bytes, ...]) -> Embedded | None:
    """Reads the XML that a PDF carries; one that cannot be read is a problem, not a refusal. Raises `Hostile`."""
    if not attached:
        return None
    if len(attached) > 1:
        text = f"the document carries {len(attached)} invoice XML files; which one counts is not said"
        return Embedded(problems=(Finding(code="xml.several", text=text),))
    try:
        return read_xml(attached[0])
    except Unreadable as fault:
        return Embedded(problems=(Finding(code="xml.unreadable", text=f"attached to the document: {fault}"),))


def read_pdf(content: bytes) -> Pages:
    """Reads a PDF. Raises `SetAside` with the reason if it is encrypted, cut off, damaged or out of bounds."""
    if b"%%EOF" not in content.rstrip(b"\0 \t\r\n")[-1024:] or b"startxref" not in content[-2048:]:
        raise SetAside("the PDF is cut off: its end (%%EOF) is missing")
    # pypdf repairs what it can and says so in its log; whether we accept the outcome is decided here.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise SetAside("the PDF is encrypted and opens only with a password")
        return _pages(reader)
    except (SetAside, Hostile):
        raise
    except (PyPdfError, Exception) as error:  # a hostile file can make the parser fail in any way at all
        raise SetAside(f"the PDF is damaged and cannot be read ({type(error).__name__}: {str(error)[:200]})") from error


def _pages(reader: PdfReader) -> Pages:
    count = len(reader.pages)
    if count == 0:
        raise SetAside("the PDF has no pages")
    if count > MAX_PAGES:
        raise SetAside(f"the PDF has {count} pages; at most {MAX_PAGES} are read")
    texts, images, length = [], 0, 0
    for page in reader.pages:
        texts.append(_text(page))
        images += _images(page)
        length += len(texts[-1])
        if length > MAX_TEXT:
            raise SetAside(f"the PDF has more than {MAX_TEXT} characters of text")
    return Pages(text=clean("\n\f\n".join(texts)), images=images, attached=_attached(reader))


def _text(page: PageObject) -> str:
    drawing = page.get_contents()
    if drawing is not None and len(drawing.get_data()) > MAX_PAGE:
        raise SetAside(f"a page of the PDF unpacks to more than {MAX_PAGE} bytes")
    return page.extract_text()


def _images(page: PageObject) -> int:
    resources = page.get("/Resources")
    pictures = resources.get_object().get("/XObject") if resources is not None else None
    if pictures is None:
        return 0
    return sum(1 for entry in pictures.get_object().values() if entry.get_object().get("/Subtype") == "/Image")


def _attached(reader: PdfReader) -> tuple[bytes, ...]:
    named: list[bytes] = []
    others: list[bytes] = []
    for place, file in enumerate(reader.attachment_list):
        name = (file.name or "").lower()
        if place >= MAX_ATTACHMENTS:
            raise Hostile(f"the PDF carries more than {MAX_ATTACHMENTS} files")
        if not name.endswith(".xml"):
            continue
        content = file.content
        if len(content) > MAX_XML:
            raise Hostile(f"the attached {name} has {len(content)} bytes; at most {MAX_XML} are read")
        (named if name in _XML_NAMES else others).append(content)
    return tuple(named) or tuple(content for content in others if b"CrossIndustryInvoice" in content)


def clean(text: str) -> str:
    """Text as people see it: no control or invisible characters, one kind of space and minus, lines without margins.

    No-break spaces stay where they stand between digits, since there they group thousands.
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    whole = unicodedata.normalize("NFC", whole).replace("\u2212", "-").replace("\u2011", "-").replace("\f", "\n")
    whole = re.sub(r"[\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]", "", whole.replace("\u202f", "\u00a0"))
    whole = "".join(sign for sign in whole if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs", "Co"))
    whole = re.sub(r"(?<!\d)[\u00a0\u2009]|[\u00a0\u2009](?!\d)", " ", whole)
    return "\n".join(line.strip()[:MAX_LINE] for line in whole.split("\n"))
