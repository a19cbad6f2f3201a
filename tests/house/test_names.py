"""The public names: few, and each said somewhere to a reader."""

from __future__ import annotations

import importlib
import inspect

import pytest

import pointsman
from pointsman import errors
from tests.house.tree import ROOT, modules

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "docs/glossary.md")
LANGGRAPH = {"Command", "Send"}


def test_there_are_at_most_thirty() -> None:
    assert len(pointsman.__all__) <= 30


def test_each_exists_and_only_once() -> None:
    assert len(set(pointsman.__all__)) == len(pointsman.__all__)
    assert [name for name in pointsman.__all__ if not hasattr(pointsman, name)] == []


def test_nothing_else_is_public() -> None:
    loose = [
        name
        for name, value in vars(pointsman).items()
        if not name.startswith("_") and name not in pointsman.__all__ and not inspect.ismodule(value)
    ]
    assert loose == []


def test_each_is_named_in_a_document() -> None:
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS if (ROOT / name).is_file())
    if not text.strip():
        pytest.skip("NOT CHECKED: there is no document yet")
    missing = [name for name in pointsman.__all__ if f"`{name}" not in text and f" {name}" not in text]
    assert missing == [], f"say in one of {', '.join(DOCUMENTS)} what they are"


@pytest.mark.parametrize(
    "name", [name for name in pointsman.__all__ if name not in LANGGRAPH and not isinstance(getattr(pointsman, name), str)]
)
def test_each_has_a_docstring_of_its_own(name: str) -> None:
    value = getattr(pointsman, name)
    doc = value.__doc__ if inspect.isclass(value) else inspect.getdoc(value)
    assert doc and doc.strip().endswith((".", "`", ")", ":")) and len(doc) > 20


def test_every_error_says_what_happened() -> None:
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.PointsmanError)]
    assert len(kinds) > 10
    silent = [kind.__name__ for kind in kinds if "__doc__" not in vars(kind) or not kind.__doc__]
    assert silent == []


def test_errors_are_raised_as_the_family() -> None:
    """Whatever the runtime raises can be caught as one, and tells the person who reads it what to do."""
    error = errors.BadInput("the page is empty", step="read@1", undone="nothing was posted", remedy="scan it again")
    assert isinstance(error, errors.PointsmanError)
    assert str(error) == "in step read@1: the page is empty. Not done: nothing was posted. Next: scan it again."
    assert str(errors.BadInput("the page is empty")) == "the page is empty"


def test_every_module_can_be_imported_alone() -> None:
    """Nothing depends on what another import happened to load first."""
    for path in modules("pointsman"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not name.endswith("__main__"):
            importlib.import_module(name)
