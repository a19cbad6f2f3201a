"""What would be forgotten of how far a value may travel, where a workflow stands within another."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from pointsman.label import UNTRUSTED, Label


def lost(name: str, labels: Mapping[str, Label], fields: Container[str], below: Iterable[Any]) -> list[str]:
    """What is confidential as the input of one of the graphs `below` a workflow of this name: there that is no run's input, so nothing would say so.

    `labels` are those of the workflow itself; where its state lacks one of the `fields`, nothing of that comes to the one below.
    """
    found = {(builder.name, path, label) for builder in below for path, label in getattr(builder, "labels", {}).items()}
    return [
        f"{inner}: its labels say that {path} is {label.confidentiality}, and hold for a run of its own; say it in labels= of {name} too"
        for inner, path, label in sorted(found)
        if path.partition(".")[0] in fields and label.confidentiality > labels.get(path, UNTRUSTED).confidentiality
    ]
