"""What is read from a document, and what is set aside before it can do harm."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from nodes.invoice.cii import MAX_XML, Hostile, Unreadable, digest, parse
from nodes.invoice.document import MAX_PAGES, SetAside, clean, read_attached, read_pdf, read_xml
from nodes.invoice.extract import extract_by_rule

SAMPLES = Path(__file__).parents[2] / "samples" / "invoices"
XML = (SAMPLES / "2024-122.xml").read_bytes()


def drawn(*lines: str, pages: int = 1) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, invariant=1)
    for _ in range(pages):
        for place, line in enumerate(lines):
            canvas.drawString(50, 800 - 14 * place, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def carrying(*files: tuple[str, bytes]) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(drawn("Rechnung"))))
    for name, content in files:
        writer.add_attachment(name, content)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


LAUGHS = (
    b'<!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">'.encode() for n in range(9))
    + b"]><l>&j;</l>"
)
OUTSIDE = b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]><l>&a;</l>'


@pytest.mark.parametrize("attack", [LAUGHS, OUTSIDE, b'<!DOCTYPE l SYSTEM "http://127.0.0.1:1/x.dtd"><l/>'], ids=["laughs", "file", "dtd"])
def test_entities_and_document_types_are_refused(attack: bytes) -> None:
    with pytest.raises(Hostile, match="document type or entities"):
        parse(attack)


def test_an_attack_in_an_attachment_sets_the_document_aside() -> None:
    with pytest.raises(Hostile):
        read_attached(read_pdf(carrying(("factur-x.xml", LAUGHS))).attached)


def test_xml_over_the_cap_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(Hostile, match="at most"):
        parse(b"<a>" + b" " * MAX_XML)
    with pytest.raises(Hostile, match="at most"):
        read_pdf(carrying(("factur-x.xml", b"<a>" + b" " * MAX_XML)))


def test_deep_nesting_is_refused() -> None:
    inner = b"<x>" * 5000 + b"</x>" * 5000
    head, _, tail = XML.partition(b"<rsm:ExchangedDocumentContext>")
    with pytest.raises(Hostile, match="deep"):
        parse(head + inner + b"<rsm:ExchangedDocumentContext>" + tail)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<a>", "not well-formed"),
        (b"<a/>", "no Cross Industry Invoice"),
        (b'<?xml version="1.0" encoding="NONE"?><a/>', "not well-formed"),
    ],
)
def test_other_xml_is_unreadable(content: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        parse(content)


def test_many_pages_are_refused() -> None:
    with pytest.raises(SetAside, match="pages"):
        read_pdf(drawn("x", pages=MAX_PAGES + 1))


def test_a_page_that_unpacks_to_megabytes_is_refused() -> None:
    packed = zlib.compress(b"BT (x) Tj ET\n" * 1_000_000)
    body = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    body += b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>endobj\n"
    body += b"4 0 obj<</Length %d/Filter/FlateDecode>>stream\n" % len(packed) + packed + b"\nendstream endobj\n"
    body += b"trailer<</Root 1 0 R/Size 5>>\nstartxref\n0\n%%EOF\n"
    with pytest.raises(SetAside, match="unpacks to more"):
        read_pdf(body)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_pdf_that_is_cut_off_is_set_aside(share: float) -> None:
    whole = (SAMPLES / "2024-117.pdf").read_bytes()
    with pytest.raises(SetAside, match="cut off"):
        read_pdf(whole[: int(len(whole) * share)])


def test_a_damaged_pdf_is_set_aside() -> None:
    with pytest.raises(SetAside):
        read_pdf(b"%PDF-1.7\n" + b"\xff" * 500 + b"\nstartxref\n9\n%%EOF\n")


def test_a_pdf_that_only_forbids_changes_is_read() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(drawn("Rechnung Nr. 7"))))
    writer.encrypt(user_password="", owner_password="owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    assert "Rechnung Nr. 7" in read_pdf(out.getvalue()).text


def test_text_has_no_signs_that_a_database_refuses() -> None:
    assert clean("a\x00b\ud83dc \u2212 5\u00ad0\u00a0000 x") == "ab\ufffdc - 50\u00a0000 x"
    clean("\ud83d\ude00 \ud83d").encode("utf-8")


def test_the_digest_of_xml_is_that_of_its_content() -> None:
    root = parse(XML)
    spelled = XML.replace(b"ram:", b"q:").replace(b"xmlns:ram=", b"xmlns:q=").replace(b">174.90<", b">174.9000<").replace(b"\n", b"\n\n")
    assert digest(parse(spelled)) == digest(root)
    assert digest(parse(XML.replace(b">Rollcontainer<", b">Rollkoffer<"))) != digest(root)


def test_two_invoice_files_in_one_document_are_a_doubt() -> None:
    found = read_attached(read_pdf(carrying(("factur-x.xml", XML), ("xrechnung.xml", XML))).attached)
    assert found is not None
    assert [problem.code for problem in found.problems] == ["xml.several"]


def test_other_attachments_do_not_count() -> None:
    assert read_pdf(carrying(("terms.xml", b"<terms/>"), ("photo.png", b"x"))).attached == ()


def test_a_page_with_nothing_on_it_is_set_aside() -> None:
    assert "shows nothing" in extract_by_rule({"text": "", "images": 0, "embedded": None})["reason"]


def test_xml_states_its_invoice() -> None:
    invoice = read_xml(XML).invoice
    assert (invoice.number, invoice.seller, str(invoice.total)) == ("2024-122", "Meyer Bürotechnik GmbH", "832.52")
