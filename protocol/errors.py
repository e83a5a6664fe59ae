"""The one error that a user's mistake raises, on either side of the wire."""

from __future__ import annotations


class FarplaneError(Exception):
    """A mistake or a lack that the artist can mend.

    Parameters
    ----------
    field : what is wrong, by the name the artist knows it by: ``camera``, ``prompt``, ``resolution`` …
    problem : what is wrong with it, one sentence without a full stop.
    remedy : what to do about it, one sentence.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[FarplaneError], tuple[str, str, str]]:
        """Pickle by the three parts: an exception's own way breaks the process pool that raised it."""
        return type(self), (self.field, self.problem, self.remedy)
