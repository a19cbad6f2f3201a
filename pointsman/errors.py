"""What can go wrong, each error saying what happened, where, what was not done and what to do next."""

from __future__ import annotations


def legible(text: str) -> str:
    """Text that others may have written, without lone surrogates: with them it could not be put on record."""
    return text.encode("utf-8", "replace").decode()


def said(error: BaseException) -> str:
    """What an error says that others may have made: its first 5 000 characters, and nothing where saying it fails."""
    try:
        return legible(str(error)[:5_000])
    except Exception:  # noqa: BLE001 - whatever its words raise
        return ""


def named(error: BaseException) -> str:
    """The same with its kind before it."""
    return f"{type(error).__name__}: {text}" if (text := said(error)) else type(error).__name__


class PointsmanError(Exception):
    """An error of the runtime, worded for the person who has to act on it.

    `what` happened · `step`, the position it happened in · `undone`, what was therefore not done ·
    `remedy`, what to do next. `str()` joins them into one paragraph.
    """

    recorded = False
    """True for the error of an earlier execution of the step, given back from its record."""

    def __init__(self, what: str, *, step: str | None = None, undone: str | None = None, remedy: str | None = None) -> None:
        self.what = what = legible(what)
        self.step = step
        self.undone = undone
        self.remedy = remedy
        super().__init__(what)

    def dict(self) -> dict[str, str]:
        """As LangGraph's server tells it to clients: of an error that does not say this of itself it hides the words."""
        return {"error": type(self).__name__, "message": str(self)}

    def __str__(self) -> str:
        parts = [f"in step {self.step}: {self.what}" if self.step else self.what]
        if self.undone:
            parts.append(f"Not done: {self.undone}")
        if self.remedy:
            parts.append(f"Next: {self.remedy}")
        return ". ".join(part.rstrip(" .") for part in parts) + "." if len(parts) > 1 else parts[0]


class BadInput(PointsmanError):
    """Input was refused before anything was written."""


class StoreUnavailable(PointsmanError):
    """The database cannot be reached, started or used."""


class LeaseLost(PointsmanError):
    """This process no longer owns the run: it may write nothing and begin no call."""


class LeaseHeld(PointsmanError):
    """Another owner advances the run, or may still be doing so."""


class UnsafeGraph(PointsmanError):
    """A graph was refused before any run: `findings` lists everything that is wrong with it."""

    def __init__(self, graph: str, findings: list[str]) -> None:
        self.findings = findings
        lines = "".join(f"\n  {number}. {finding}" for number, finding in enumerate(findings, 1))
        super().__init__(
            f"graph {graph!r} is refused, {len(findings)} finding(s):{lines}\n", undone="it was not compiled", remedy="mend each finding"
        )


class VersionMismatch(PointsmanError):
    """A run was opened under another version of its graph than the one it is pinned to."""


class NotAllowed(PointsmanError):
    """Something is not open to whoever asked for it; nothing was changed."""


class Conflict(PointsmanError):
    """What was asked for no longer applies to the state the run is in; nothing was changed."""


class NotFound(PointsmanError):
    """There is no such run, approval, node or graph."""


class Withheld(Conflict):
    """What would have begun a call was not written: something was revoked that its owner does not know, or it comes too soon."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what, undone="the call was not begun")
        self.wait = wait
        """Seconds until its rate leaves room; None where something was revoked."""


class Denied(PointsmanError):
    """A call was refused by policy, by the node's list, or by its arguments; it was not made."""


class LimitReached(PointsmanError):
    """A call was not begun because it could have passed a cap."""


class Enough(BaseException):
    """A step goes on asking for what it is refused, so it is ended. No `Exception`: code that catches every error and tries again does not catch it."""


class TooSoon(Denied):
    """A call was not made, since its tool's rate leaves no room yet."""

    wait: float = 0.0
    """Seconds after which it may be tried again."""


class Rejected(PointsmanError):
    """A person said no to a call; it was not made."""


class Expired(PointsmanError):
    """Nobody decided on a call in time; it was not made."""


class ToolFailed(PointsmanError):
    """A call was made and failed; an effect that failed did not happen."""

    retryable = False
    """Whether trying again later can help without anybody mending anything."""


class Refused(ToolFailed):
    """The outside system refused the call: it did not happen. Raised by tools."""


class Unavailable(ToolFailed):
    """The outside system could not be reached: nothing was sent. Raised by tools; passes by itself."""

    retryable = True


class ModelFailed(ToolFailed):
    """A model was called and gave nothing that can be used."""

    refused = False
    """True where the provider refused the request, so that nothing was generated and nothing is paid for."""


class ModelBusy(ModelFailed):
    """A model could not answer now: too many requests, an error of its server, a broken connection."""

    retryable = True

    retry_after: float | None = None
    """Seconds after which the provider said it may be asked again; None where it said nothing."""


class OutcomeUnknown(PointsmanError):
    """An effect was begun and nobody knows whether it happened."""

    retryable = False
    """True where trying again is safe: the outside system keeps the key, or can be asked."""


class Divergence(PointsmanError):
    """A step that was executed again asked for something else than the record holds."""
