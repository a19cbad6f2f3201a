"""What can go wrong, each error saying what happened, where, what was not done and what to do next."""

from __future__ import annotations


class PointsmanError(Exception):
    """An error of the runtime, worded for the person who has to act on it.

    `what` happened · `step`, the position it happened in · `undone`, what was therefore not done ·
    `remedy`, what to do next. `str()` joins them into one paragraph.
    """

    def __init__(self, what: str, *, step: str | None = None, undone: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.step = step
        self.undone = undone
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        parts = [f"in step {self.step}: {self.what}" if self.step else self.what]
        if self.undone:
            parts.append(f"Not done: {self.undone}.")
        if self.remedy:
            parts.append(f"Next: {self.remedy}.")
        return " ".join(parts)


class BadInput(PointsmanError):
    """Input was refused before anything was written."""


class StoreUnavailable(PointsmanError):
    """The database cannot be reached, started or used."""
