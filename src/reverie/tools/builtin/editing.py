"""Edits of a block's text, as pure functions, and how their outcome is shown to the model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject

AROUND: Final = 3
"""Lines shown before and after an edit."""
_NUMBERED: Final = re.compile(r"^[ \t]*\d+→", re.MULTILINE)
_HUNK: Final = re.compile(r"^@@(?: -(?P<line>\d+))?")
_FENCE: Final = re.compile(r"^\*\*\* (Begin Patch|End Patch|End of File)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A new text and the lines of it that an edit touched."""

    text: str
    first: int
    """Counted from 1."""
    last: int
    """Less than `first` where lines only went away."""


def schema(properties: JsonObject, required: Sequence[str]) -> JsonObject:
    """The parameters of a built-in tool."""
    return {"type": "object", "properties": properties, "required": list(required)}


def refuse_numbers(**texts: str) -> None:
    """Refuse texts that carry the line numbers a block is shown with.

    Raises:
        ToolError: it names the argument.
    """
    for name, text in texts.items():
        found = _NUMBERED.search(text)
        if found:
            raise ToolError(
                f"{name} begins a line with {found[0].strip()!r}. Line numbers only show where text is and are no part "
                "of it; call again without them."
            )


def insert(text: str, addition: str, line: int) -> Edited:
    """Put `addition` after line `line`; 0 is before the first line, -1 after the last.

    Raises:
        ToolError: there is no such line.
    """
    lines = text.split("\n") if text else []
    if line < -1 or line > len(lines):
        raise ToolError(f"there is no line {line}: use 0 for the beginning, 1 to {len(lines)}, or -1 for the end")
    place = len(lines) if line == -1 else line
    added = addition.split("\n")
    return Edited(text="\n".join([*lines[:place], *added, *lines[place:]]), first=place + 1, last=place + len(added))


def replace_once(text: str, old: str, new: str) -> Edited:
    """Replace the one place where `old` stands.

    Raises:
        ToolError: it stands nowhere, or in several places; the text says where.
    """
    if not old:
        raise ToolError("the text to replace is empty; to add text, insert it instead")
    if old == new:
        raise ToolError("the old and the new text are the same; nothing would change")
    places = [found.start() for found in re.finditer(re.escape(old), text)]
    if not places:
        raise ToolError(
            f"the text to replace is not in the block; it must match exactly. The block reads:\n{numbered(text)}"
        )
    first = text.count("\n", 0, places[0]) + 1
    if len(places) > 1:
        lines = ", ".join(str(text.count("\n", 0, place) + 1) for place in places)
        raise ToolError(
            f"the text to replace stands in {len(places)} places (lines {lines}); "
            "call again with more of the text around the one you mean"
        )
    return Edited(text=text.replace(old, new, 1), first=first, last=first + new.count("\n"))


def patch(text: str, change: str) -> Edited:
    """Apply hunks of ' ', '-' and '+' lines, each where its old lines stand.

    Line numbers after `@@` only choose among several such places: models count lines badly.

    Raises:
        ToolError: a hunk fits nowhere, or in several places; nothing of the patch is applied.
    """
    lines = text.split("\n") if text else []
    hunks = _hunks(change)
    if not hunks:
        raise ToolError("the patch changes nothing; mark lines to remove with '-' and lines to add with '+'")
    first, last, behind = len(lines) + 1, 0, 0
    for number, hunk in enumerate(hunks, start=1):
        place = _find(lines, hunk, behind, number)
        fresh = _applied(hunk, lines[place : place + len(hunk.old)])
        lines[place : place + len(hunk.old)] = fresh
        behind = place + len(fresh)
        first, last = min(first, place + 1), max(last, behind)
    return Edited(text="\n".join(lines), first=first, last=last)


def show(label: str, before: str, edited: Edited) -> str:
    """Tell the model what the block holds now around an edit."""
    lines = edited.text.split("\n")
    start, end = max(1, edited.first - AROUND), min(len(lines), max(edited.last, edited.first) + AROUND)
    excerpt = numbered("\n".join(lines[start - 1 : end]), start)
    size = f"{len(before)} → {len(edited.text)} characters"
    if not edited.text:
        return f"Block {label!r} is now empty ({size})."
    return f"Block {label!r} is changed ({size}). Lines {start} to {end} of {len(lines)} now read:\n{excerpt}"


def numbered(text: str, start: int = 1) -> str:
    """`text` with line numbers, as the model sees blocks."""
    return "\n".join(f"{number}→ {line}" for number, line in enumerate(text.split("\n"), start=start))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hunk:
    marked: tuple[tuple[str, str], ...]
    """Lines with what is to become of each: `' '`, `'-'` or `'+'`."""
    line: int | None

    @property
    def old(self) -> tuple[str, ...]:
        return tuple(line for mark, line in self.marked if mark != "+")


def _hunks(change: str) -> list[_Hunk]:
    hunks: list[_Hunk] = []
    marked: list[tuple[str, str]] = []
    hint: int | None = None

    def close() -> None:
        while marked and marked[-1] == (" ", ""):  # blank lines after the patch
            marked.pop()
        if any(mark != " " for mark, _ in marked):
            hunks.append(_Hunk(marked=tuple(marked), line=hint))
        marked.clear()

    for line in _without_header(change.replace("\r\n", "\n").strip("\n").split("\n")):
        head = _HUNK.match(line)
        if head:
            close()
            hint = int(head["line"]) if head["line"] else None
        elif line.startswith((" ", "-", "+")) or not line:
            marked.append((line[:1] or " ", line[1:]))
        elif not line.startswith("\\"):  # "\ No newline at end of file"
            raise ToolError(f"the patch has a line that begins with none of ' ', '-', '+' or '@@': {line[:80]!r}")
    close()
    return hunks


def _without_header(lines: Sequence[str]) -> list[str]:
    """The lines of a patch without what names files and what stands around it all."""
    kept = [line for line in lines if not _FENCE.match(line)]
    named = len(kept) > 1 and kept[0].startswith("--- ") and kept[1].startswith("+++ ")
    return kept[2:] if named else kept


def _applied(hunk: _Hunk, found: Sequence[str]) -> list[str]:
    """What takes the place of the lines that were `found` for a hunk: those it leaves alone stay as they stood."""
    there = iter(found)
    fresh: list[str] = []
    for mark, line in hunk.marked:
        stood = line if mark == "+" else next(there, line)
        if mark != "-":
            fresh.append(stood)
    return fresh


def _find(lines: Sequence[str], hunk: _Hunk, behind: int, number: int) -> int:
    """Where a hunk's old lines begin, if possible not before line index `behind`."""
    if not hunk.old:
        return len(lines) if hunk.line is None else min(max(hunk.line - 1, behind), len(lines))
    for simplify in (str, str.rstrip, _without_tabs):
        wanted = [simplify(line) for line in hunk.old]
        have = [simplify(line) for line in lines]
        width = len(wanted)
        places = [place for place in range(len(have) - width + 1) if have[place : place + width] == wanted]
        # Hunks mostly come in the order of the text; one that does not is found all the same.
        places = [place for place in places if place >= behind] or places
        if len(places) == 1:
            return places[0]
        if places and hunk.line is not None:
            aim = hunk.line - 1
            return min(places, key=lambda place: abs(place - aim))
        if places:
            found = ", ".join(str(place + 1) for place in places)
            raise ToolError(f"hunk {number} fits at lines {found}; give it more unchanged lines around the change")
    quoted = "\n".join(hunk.old)
    raise ToolError(f"hunk {number} fits nowhere; these lines are not in the block in this order:\n{quoted}")


def _without_tabs(line: str) -> str:
    return line.expandtabs(4).rstrip()
