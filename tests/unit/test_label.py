"""Labels: what comes from outside is trusted by nobody."""

from __future__ import annotations

import pytest

from pointsman.label import UNTRUSTED, Confidentiality, Integrity, Label


def test_what_comes_from_outside_is_untrusted_and_stays_inside() -> None:
    assert Label(Integrity("untrusted"), Confidentiality("internal")) == UNTRUSTED


def test_labels_are_written_as_plain_words() -> None:
    assert [str(part) for part in UNTRUSTED] == ["untrusted", "internal"]
    assert [str(each) for each in Integrity] == ["untrusted", "endorsed", "trusted"]
    assert [str(each) for each in Confidentiality] == ["public", "internal", "restricted"]


def test_labels_are_ordered_by_meaning_and_not_by_the_alphabet() -> None:
    assert Integrity.UNTRUSTED < Integrity.ENDORSED < Integrity.TRUSTED
    assert Confidentiality.RESTRICTED > Confidentiality.INTERNAL >= "internal" > Confidentiality.PUBLIC
    assert Integrity.ENDORSED <= "endorsed"
    for other in ("trustd", "public", "", None, 1):
        with pytest.raises(ValueError, match="not a valid"):
            _ = other < Integrity.TRUSTED
