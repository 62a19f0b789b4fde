"""The exceptions that a user is meant to see: what is wrong, why, and what to do about it."""

from __future__ import annotations

import re

from warmgap.hidden import without_known

LONGEST = 1000  # characters of a line: a list of what there is may be long, a value of somebody's has no end
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    """Return text that a terminal shows and does not obey: what is no printable sign is written as its number."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in "\n\t" else ascii(found[0])[1:-1], text)


def one_line(text: object) -> str:
    """Return a text as one line that a terminal shows and does not obey, cut where it has no end.

    Names and passwords in addresses, and keys, are left out.
    """
    line = shown(without_known(" ".join(str(text).split())))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} …"


class UserError(Exception):
    """A mistake that the user can mend: printed as three lines on stderr, exit status 2, no traceback.

    ``what`` says what went wrong, ``why`` the reason, ``fix`` the next thing to type or change. Each is one line,
    whatever stands in it of somebody's data.
    """

    def __init__(self, what: str, why: str, fix: str) -> None:
        what, why, fix = map(one_line, (what, why, fix))
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"error: {self.what}\nwhy:   {self.why}\nfix:   {self.fix}"


class BadValue(UserError):
    """A value of a setting with which nothing can come out, whoever runs it where: another value may do."""
