"""A circuit breaker: after so many calls in a row that the outside did not answer, none is sent for a while, then one is tried.

It stands in this process, one for each tool, for all runs in it; another process has its own and knows nothing of this one. A refusal of
the outside system is an answer. (M. Nygard, Release It!, 2nd ed., ch. 5.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pointsman.errors import BadInput, Refused, Unavailable

_ANSWERS = (Refused, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
"""What a tool or an operating system says no with: what is wrong is the question."""


def unanswered(error: BaseException) -> bool:
    """Whether a call ended because the outside did not answer; clients of HTTP wrap what the operating system said in errors of their own."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))  # an error that is raised again can be its own cause
        if isinstance(cause, Unavailable | OSError | Refused):
            return not isinstance(cause, _ANSWERS)
        cause = cause.__cause__ or cause.__context__
    return False


@dataclass(slots=True)
class Breaker:
    """Closed: calls pass. Open: they are refused for `seconds`. Then half open: one passes, and what becomes of it decides."""

    failures: int = 5
    """So many calls in a row without an answer open it; 0 for never."""
    seconds: float = 30.0
    _failed: int = field(default=0, repr=False)
    _until: float | None = field(default=None, repr=False)
    _trying: bool = field(default=False, repr=False)
    _era: int = field(default=0, repr=False)
    """Counts its openings and its tries: what was sent in an earlier one says nothing of the present."""

    def __post_init__(self) -> None:
        if self.failures < 0 or not self.seconds > 0:
            raise BadInput(f"a breaker of {self.failures} failures and {self.seconds} seconds cannot work", remedy="0 or more, and above 0")

    def enter(self, tool: str, now: float) -> int:
        """A call is about to be sent, `now` in seconds of one clock; its ticket. Raises `Unavailable` while it is open, or half open with a call under way."""
        if self._until is not None:
            if now < self._until or self._trying:
                left = self._until - now
                state = f"open for {left:.0f} s more" if left > 0 else "half open, and one call is being tried"
                raise Unavailable(
                    f"{tool} did not answer {self._failed} times in a row, so its breaker is {state}", undone="nothing was sent"
                )
            self._trying = True
            self._era += 1
        return self._era

    def leave(self, ticket: int, now: float, *, answered: bool | None) -> None:
        """A call that was sent has ended; `answered` is None where it was not waited for."""
        if ticket != self._era:
            return
        self._trying = False
        if answered:
            self._failed, self._until = 0, None
        elif answered is False:
            self._failed += 1
            if self.failures and self._failed >= self.failures:
                self._until = now + self.seconds
                self._era += 1
