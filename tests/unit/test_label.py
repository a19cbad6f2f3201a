"""Labels: what comes from outside is trusted by nobody."""

from __future__ import annotations

from pointsman.label import UNTRUSTED, Confidentiality, Integrity, Label


def test_what_comes_from_outside_is_untrusted_and_stays_inside() -> None:
    assert Label(Integrity("untrusted"), Confidentiality("internal")) == UNTRUSTED


def test_labels_are_written_as_plain_words() -> None:
    assert [str(part) for part in UNTRUSTED] == ["untrusted", "internal"]
    assert [str(each) for each in Integrity] == ["trusted", "endorsed", "untrusted"]
    assert [str(each) for each in Confidentiality] == ["public", "internal", "restricted"]
