"""The exceptions that a user is meant to see: what is wrong, why, and what to do about it."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can mend: printed as three lines on stderr, exit status 2, no traceback.

    ``what`` says what went wrong, ``why`` the reason, ``fix`` the next thing to type or change.
    """

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"error: {self.what}\nwhy:   {self.why}\nfix:   {self.fix}"


class BadValue(UserError):
    """A value of a setting with which nothing can come out, whoever runs it where: another value may do."""
