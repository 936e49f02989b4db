"""Search for a pattern in texts, in time that grows with the texts alone, whatever the pattern."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import re2

from reverie.domain.errors import ToolError

LONGEST_PATTERN: Final = 1000
_SLICE_CHARS: Final = 65_536
"""Text that is looked at in one go; between two, other threads get their turn."""
_GLOB_ONLY: Final = re.compile(r"[^\^$()\[\]{}\\+|]*[*?][^\^$()\[\]{}\\+|]*")
_GLOB_PARTS: Final = re.compile(r"\[[!^]?[^\]\\!^]+\]|\{[^{}]+\}|.", re.DOTALL)
_WILDCARDS: Final = {"*": ".*", "?": "."}
_WHOLE_TEXT: Final = re.compile(r"\\[Az]|\(\?[a-zA-Z]*-")
"""What means something else in a slice of many lines than in one line."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern, without regard to case."""

    line: "re2._Regexp"
    slice: "re2._Regexp | None"
    """Finds something in a slice whenever `line` does in one of its lines."""

    def lines(self, text: str, deadline: float) -> Iterator[int]:
        """The numbers, counted from 1, of the lines that match.

        Raises:
            TimeoutError: the monotonic clock is past `deadline`.
        """
        for first, lines in _slices(text):
            if time.monotonic() > deadline:
                raise TimeoutError
            if self.slice is not None and not self.slice.search("\n".join(lines)):
                continue
            for number, line in enumerate(lines, first):
                if self.line.search(line):
                    yield number

    def fits(self, name: str) -> bool:
        """Whether something in `name` matches."""
        return bool(self.line.search(name))


def compile_pattern(text: str) -> Pattern:
    """A pattern in the syntax of RE2, which finds what it finds in linear time.

    Raises:
        ToolError: written for the model.
    """
    if len(text) > LONGEST_PATTERN:
        raise ToolError(f"the pattern has {len(text)} characters and may have {LONGEST_PATTERN}; search for less")
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.never_capture = True
    options.max_mem = 8 * 1024 * 1024
    try:
        line = re2.compile(text, options)
        joint = None if _WHOLE_TEXT.search(text) else re2.compile(f"(?m:{text})", options)
    except re2.error as error:
        said = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise ToolError(
            f"the pattern {text!r} cannot be used: {said}; groups, classes and quantifiers work, lookaround and "
            "backreferences do not; put a backslash before characters that are meant as they are"
        ) from error
    return Pattern(line, joint)


def compile_name_pattern(text: str) -> Pattern:
    """A pattern for names: `*.md` and what else starts with a star is a glob, as no regular expression does.

    Without a star in front, what has signs of a regular expression is one.
    """
    if text.startswith("*") or (_GLOB_ONLY.fullmatch(text) and not text.startswith(".*")):
        return compile_pattern("".join(_of_glob(part) for part in _GLOB_PARTS.findall(text)) + "$")
    return compile_pattern(text)


def _of_glob(part: str) -> str:
    """One part of a glob as a regular expression: a wildcard, a class such as `[!0-9]`, a choice such as `{md,txt}`."""
    if part in _WILDCARDS:
        return _WILDCARDS[part]
    if part.startswith("[") and part.endswith("]"):
        return ("[^" if part[1] in "!^" else "[") + part[1:-1].lstrip("!^").replace("[", r"\[") + "]"
    if part.startswith("{") and part.endswith("}"):
        return "(?:" + "|".join(re.escape(choice.strip()) for choice in part[1:-1].split(",")) + ")"
    return re.escape(part)


def _slices(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of `text` in slices, each with the number of its first line."""
    number, start = 1, 0
    while start <= len(text):
        end = text.find("\n", min(start + _SLICE_CHARS, len(text)))
        end = len(text) if end == -1 else end
        lines = text[start:end].split("\n")
        yield number, lines
        number += len(lines)
        start = end + 1
