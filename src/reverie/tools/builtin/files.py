"""Looking into the files of attached folders.

Source: names, arguments and the look of results are those of the retired server's tools, read 2026-11.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from reverie.domain.errors import ToolError
from reverie.domain.folder import DEFAULT_FILES_OPEN, FilePassage, FileView, OpenOutcome
from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec, ToolType
from reverie.tools.base import MemoryPort, StateTool, ToolServices
from reverie.tools.builtin import editing
from reverie.tools.builtin.grep import Pattern, compile_name_pattern, compile_pattern

GREP_PAGE: Final = 20
MOST_MATCHES: Final = 1000
MOST_CONTEXT: Final = 20
GREP_SECONDS: Final = 20.0
MOST_RESULTS: Final = 50
_PASSAGE_LINES: Final = 20
_LONGEST_LINE: Final = 500
"""Characters of a line that a result shows."""


class OpenFiles(StateTool):
    """Puts files, or ranges of their lines, into the prompt."""

    tool_type: ClassVar[ToolType] = ToolType.FILES_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="open_files",
        description=(
            "Open one or more files of your folders, so that you see their contents in your context. Use it to read a "
            "file, to look at a part of a large one (offset and length in lines), or to move to another part of one "
            "that is open. When too many files are open, the one unused for longest is closed; close_all_others "
            "closes all you do not name."
        ),
        parameters=editing.schema(
            {
                "file_requests": {
                    "type": "array",
                    "description": "The files to open.",
                    "items": {
                        "type": "object",
                        "properties": {
                            "file_name": {
                                "type": "string",
                                "description": "Name of the file as listed, such as 'docs/notes.md'.",
                            },
                            "offset": {
                                "type": ["integer", "null"],
                                "description": "Line to begin at, counted from 0; left out: the beginning.",
                            },
                            "length": {
                                "type": ["integer", "null"],
                                "description": "How many lines to see; left out: up to the end.",
                            },
                        },
                        "required": ["file_name"],
                    },
                },
                "close_all_others": {"type": "boolean", "description": "Close every other file first."},
            },
            ["file_requests"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        wishes = [_Wish.of(item) for item in args["file_requests"]]
        most = memory.agent.max_files_open
        most = DEFAULT_FILES_OPEN if most is None else most
        if not wishes:
            raise ToolError("file_requests is empty; name at least one file")
        if len(wishes) > most:
            raise ToolError(f"you can have at most {most} files open, and named {len(wishes)}; open fewer at once")
        found = memory.find_files([wish.file_name for wish in wishes])
        for wish in wishes:
            if wish.file_name not in found:
                raise ToolError(
                    f"there is no file {wish.file_name!r} in your folders; check the name against the list of files "
                    "in your context, with its folder before the slash"
                )
        closed = memory.close_files(list(found.values())) if args.get("close_all_others") else ()
        evicted: list[str] = []
        told = []
        for wish in wishes:
            outcome = memory.open_file(found[wish.file_name], wish.offset, wish.end)
            evicted += outcome.closed
            told.append(f"{wish.file_name}{wish.range}{_before(outcome)}")
        lines = [f"* Opened {told[0]}" if len(told) == 1 else f"* Opened {len(told)} files: {', '.join(told)}"]
        if closed:
            lines.append(f"Note: Closed {len(closed)} other file(s) as you asked: {', '.join(closed)}")
        if evicted:
            lines.append(
                f"Note: Closed {len(evicted)} least recently used file(s), as {most} can be open: {', '.join(evicted)}"
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Wish:
    file_name: str
    offset: int | None
    length: int | None

    @staticmethod
    def of(item: JsonObject) -> "_Wish":
        name, offset, length = item["file_name"], item.get("offset"), item.get("length")
        if offset is not None and offset < 0:
            raise ToolError(f"offset of {name!r} is {offset}; lines are counted from 0")
        if length is not None and length < 1:
            raise ToolError(f"length of {name!r} is {length}; at least one line has to be seen")
        return _Wish(name, 0 if offset is None and length is not None else offset, length)

    @property
    def end(self) -> int | None:
        return None if self.offset is None or self.length is None else self.offset + self.length

    @property
    def range(self) -> str:
        if self.offset is None:
            return ""
        return f" (lines {self.offset + 1}-{'end' if self.end is None else self.end})"


def _before(outcome: OpenOutcome) -> str:
    view = outcome.before
    if view is None:
        return ""
    if view.start_line is None:
        return " (previously full file)"
    return f" (previously lines {view.start_line}-{'end' if view.end_line is None else view.end_line})"


@dataclass(slots=True)
class _Matches:
    """What a search for a pattern found; only the thread that searches changes it."""

    found: list[tuple[FileView, int, list[str]]] = field(default_factory=list)
    """File, number of the line, and the lines to show."""
    skipped: int = 0
    """Files that time did not suffice for."""
    filtered: bool = False
    """No file has a name that was asked for."""

    @property
    def is_full(self) -> bool:
        return len(self.found) >= MOST_MATCHES


class GrepFiles(StateTool):
    """Finds lines that match a pattern."""

    tool_type: ClassVar[ToolType] = ToolType.FILES_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="grep_files",
        description=(
            "Search all files of your folders for lines that match a keyword or regular expression, without regard to "
            f"case. Shows how many lines match in which files, and {GREP_PAGE} matches with the lines around them; "
            "offset shows the next ones. Lookaround and backreferences are not supported."
        ),
        parameters=editing.schema(
            {
                "pattern": {"type": "string", "description": "Keyword or regular expression (RE2 syntax)."},
                "include": {
                    "type": ["string", "null"],
                    "description": "Only files whose names match this glob or regular expression, such as '*.md'.",
                },
                "context_lines": {
                    "type": ["integer", "null"],
                    "description": f"Lines to show before and after each match, up to {MOST_CONTEXT}; 1 if left out.",
                },
                "offset": {
                    "type": ["integer", "null"],
                    "description": "Matches to skip: the result says which offset shows the next ones.",
                },
            },
            ["pattern"],
        ),
    )

    async def prepare(self, args: JsonObject, services: ToolServices) -> object:
        """Searches, file by file, off the event loop."""
        wanted = args["pattern"].strip()
        if not wanted:
            raise ToolError("the pattern is empty; say what to look for")
        pattern = compile_pattern(wanted)
        include = (args.get("include") or "").strip()
        listed = await services.library.files()
        if not listed:
            raise ToolError("there are no files in your folders to search")
        names = compile_name_pattern(include) if include else None
        within = [view for view in listed if names is None or names.fits(view.file_name)]
        context = args.get("context_lines")
        around = 1 if context is None else min(max(context, 0), MOST_CONTEXT)
        matches = _Matches(filtered=not within)
        deadline = time.monotonic() + GREP_SECONDS
        for place, view in enumerate(within):
            text = await services.library.text(view.file_id)
            try:
                await asyncio.to_thread(_search, pattern, view, text, around, matches, deadline)
            except TimeoutError:
                matches.skipped = len(within) - place
                break
            if matches.is_full:
                break
        return matches

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        assert isinstance(prepared, _Matches)
        include = (args.get("include") or "").strip()
        where = f" in files matching '{include}'" if include else ""
        if prepared.filtered:
            return f"No files match the filename pattern '{include}'"
        skipped = (
            f"\nNote: {prepared.skipped} files were not searched to the end, for lack of time"
            if prepared.skipped
            else ""
        )
        if not prepared.found:
            return f"No matches found for pattern: '{args['pattern'].strip()}'{where}{skipped}"
        memory.touch_files(list({view.file_id: None for view, _, _ in prepared.found}))
        return _grep_report(args["pattern"].strip(), prepared, max(args.get("offset") or 0, 0)) + skipped


def _search(pattern: Pattern, view: FileView, text: str, around: int, matches: _Matches, deadline: float) -> None:
    lines: list[str] | None = None
    for number in pattern.lines(text, deadline):
        lines = text.split("\n") if lines is None else lines
        first, last = max(number - around, 1), min(number + around, len(lines))
        shown = [f"{'>' if at == number else ' '} {at}: {_short(lines[at - 1])}" for at in range(first, last + 1)]
        matches.found.append((view, number, shown))
        if matches.is_full:
            return


def _grep_report(pattern: str, matches: _Matches, offset: int) -> str:
    total = f"{MOST_MATCHES}+" if matches.is_full else str(len(matches.found))
    counts: dict[str, int] = {}
    for view, _, _ in matches.found:
        counts[view.file_name] = counts.get(view.file_name, 0) + 1
    page = matches.found[offset : offset + GREP_PAGE]
    until = offset + len(page)
    shown = f"showing matches {offset + 1}-{until} of {total}" if page else f"none at offset {offset}"
    lines = [f"Found {total} total matches across {len(counts)} files ({shown})", "=" * 80, "", "Files with matches:"]
    lines += [f"  - {name}: {number} matches" for name, number in sorted(counts.items(), key=lambda item: -item[1])]
    for view, number, context in page:
        lines += ["", f"=== {view.file_name}:{number} ===", *context]
    lines.append("")
    if until < len(matches.found):
        lines.append(f'To see more matches, call: grep_files(pattern="{pattern}", offset={until})')
    elif matches.is_full:
        lines.append(f"No more than {MOST_MATCHES} matches are collected; search for something rarer.")
    else:
        lines.append("No more matches to show.")
    return "\n".join(lines)


class SemanticSearchFiles(StateTool):
    """Finds passages by meaning and by words."""

    tool_type: ClassVar[ToolType] = ToolType.FILES_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="semantic_search_files",
        description=(
            "Search the files of your folders by meaning: describe what you look for, in plain words. Finds passages "
            "on a subject also where they use other words. Shows each passage with its file and line."
        ),
        parameters=editing.schema(
            {
                "query": {"type": "string", "description": "What to look for."},
                "limit": {"type": "integer", "description": f"Most results, up to {MOST_RESULTS}; 5 if left out."},
            },
            ["query"],
        ),
    )

    async def prepare(self, args: JsonObject, services: ToolServices) -> object:
        """Searches."""
        query = args["query"].strip()
        if not query:
            raise ToolError("the query is empty; say what to look for")
        return tuple(await services.library.search(query, min(max(args.get("limit", 5), 1), MOST_RESULTS)))

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        assert isinstance(prepared, tuple)
        found: Sequence[FilePassage] = prepared
        query = args["query"].strip()
        if not found:
            return f"No semantic matches found for query: '{query}'"
        memory.touch_files(list({passage.file_id: None for passage in found}))
        count = len({passage.file_id for passage in found})
        head = f"Found {len(found)} semantic matches in {count} file{'s' if count != 1 else ''} for query: '{query}'"
        return "\n".join([head, "=" * len(head), *(_passage(at, item) for at, item in enumerate(found, 1))])


def _passage(place: int, passage: FilePassage) -> str:
    lines = passage.text.strip("\n").split("\n")
    shown = [f"  {line}" for line in lines[:_PASSAGE_LINES]]
    if len(lines) > _PASSAGE_LINES:
        shown.append(f"  ... [{len(lines) - _PASSAGE_LINES} more lines]")
    return "\n".join([f"\n=== {passage.file_name} (passage #{place}, from line {passage.start_line}) ===", *shown])


def _short(line: str) -> str:
    return (
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}… [{len(line) - _LONGEST_LINE} more characters]"
    )
