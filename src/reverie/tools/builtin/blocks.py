"""Tools that edit one memory block with care: the set of current agent types."""

import re
from typing import ClassVar, Final

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec, ToolType
from reverie.tools.base import MemoryPort, StateTool
from reverie.tools.builtin import editing

_LABEL: Final[JsonObject] = {"type": "string", "description": "Label of the memory block."}
_MARK: Final = re.compile(r"^[ +-]", re.MULTILINE)
_HEADER: Final = re.compile(r"^\*\*\* (Add Block|Update Block|Delete Block|Move to): *(.+?) *$")


class MemoryInsert(StateTool):
    """Adds lines to a block."""

    tool_type: ClassVar[ToolType] = ToolType.SLEEPTIME_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="memory_insert",
        description="Add text to a memory block, at its end or after a given line.",
        parameters=editing.schema(
            {
                "label": _LABEL,
                "new_string": {"type": "string", "description": "The text to add, without line numbers."},
                "insert_line": {
                    "type": "integer",
                    "description": "The line after which the text goes: 0 for the beginning, -1 (default) for the end.",
                },
            },
            ["label", "new_string"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        editing.refuse_numbers(new_string=args["new_string"])
        edited, before = insert(memory, args["label"], args["new_string"], args.get("insert_line", -1))
        memory.write_block(args["label"], edited.text)
        return editing.show(args["label"], before, edited)


class MemoryReplace(StateTool):
    """Replaces one exact passage of a block."""

    tool_type: ClassVar[ToolType] = ToolType.SLEEPTIME_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="memory_replace",
        description=(
            "Replace a passage of a memory block. The old text must match exactly, white space included, and stand in "
            "the block once. An empty new text deletes the passage."
        ),
        parameters=editing.schema(
            {
                "label": _LABEL,
                "old_string": {"type": "string", "description": "The passage as it stands, without line numbers."},
                "new_string": {"type": "string", "description": "What takes its place, without line numbers."},
            },
            ["label", "old_string", "new_string"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        editing.refuse_numbers(old_string=args["old_string"], new_string=args["new_string"])
        before = memory.block(args["label"]).value
        edited = editing.replace_once(before, args["old_string"], args["new_string"])
        memory.write_block(args["label"], edited.text)
        return editing.show(args["label"], before, edited)


class MemoryRethink(StateTool):
    """Writes a block anew."""

    tool_type: ClassVar[ToolType] = ToolType.SLEEPTIME_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="memory_rethink",
        description=(
            "Rewrite a memory block from scratch: to condense it, reorder it, or merge in much that is new. "
            "A label that does not exist yet becomes a new block. For small changes use the other memory tools."
        ),
        parameters=editing.schema(
            {
                "label": _LABEL,
                "new_memory": {"type": "string", "description": "The whole new text, without line numbers."},
            },
            ["label", "new_memory"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        editing.refuse_numbers(new_memory=args["new_memory"])
        return rewrite(memory, args["label"], args["new_memory"])


class MemoryApplyPatch(StateTool):
    """Applies a patch to one block, or to several."""

    tool_type: ClassVar[ToolType] = ToolType.MEMORY_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="memory_apply_patch",
        description=(
            "Change a memory block by a patch: unchanged lines begin with a space, lines to remove with '-', lines to "
            "add with '+'; '@@' stands between separate hunks. To change several blocks at once, leave the label empty "
            "and begin each part with '*** Update Block: <label>', '*** Add Block: <label>' (its lines begin with '+', "
            "a line 'Description: <text>' may come first) or '*** Delete Block: <label>'; '*** Move to: <label>' "
            "renames the block before it. If any part does not fit, nothing is changed."
        ),
        parameters=editing.schema(
            {
                "label": {
                    "type": "string",
                    "description": "Label of the block; empty when the patch names blocks itself.",
                },
                "patch": {"type": "string", "description": "The patch, without line numbers before the lines."},
            },
            ["label", "patch"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        editing.refuse_numbers(patch=_MARK.sub("", args["patch"]))
        parts = _parts(args["patch"])
        if not parts:
            return self._update(memory, args["label"], args["patch"])
        return "\n".join(self._apply_part(memory, action, labels, body) for action, labels, body in parts)

    def _apply_part(self, memory: MemoryPort, action: str, labels: tuple[str, str | None], body: list[str]) -> str:
        label, moved = labels
        text = "\n".join(body)
        said: list[str] = []
        if action == "Delete Block":
            memory.detach_block(label)
            return f"Block {label!r} is deleted."
        if action == "Add Block":
            description = None
            if body and body[0].startswith("Description:"):
                description, text = body[0].removeprefix("Description:").strip(), "\n".join(body[1:])
            value = "\n".join(line.removeprefix("+") for line in text.split("\n")) if text else ""
            memory.create_block(label, value, description)
            said.append(f"Block {label!r} is made, with {len(value)} characters.")
        elif text.strip():
            said.append(self._update(memory, label, text))
        if moved is not None:
            memory.relabel_block(label, moved, None)
            said.append(f"Block {label!r} is now called {moved!r}.")
        if not said:
            raise ToolError(f"the part for block {label!r} changes nothing")
        return "\n".join(said)

    def _update(self, memory: MemoryPort, label: str, change: str) -> str:
        before = memory.block(label).value
        edited = editing.patch(before, change)
        memory.write_block(label, edited.text)
        return editing.show(label, before, edited)


class MemoryFinishEdits(StateTool):
    """Says that memory is in order."""

    tool_type: ClassVar[ToolType] = ToolType.SLEEPTIME_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="memory_finish_edits",
        description="Say that you have taken in everything new and are done editing memory.",
        parameters=editing.schema({}, []),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        return "Your edits are finished."


def insert(memory: MemoryPort, label: str, text: str, line: int) -> tuple[editing.Edited, str]:
    """`text` put into a block, which is not stored yet, and what it held before.

    Numbers of lines are those that the model has read; beginning and end are there whoever wrote meanwhile.
    """
    before = (memory.block_as_read(label) if line > 0 else memory.block(label)).value
    return editing.insert(before, text, line), before


def rewrite(memory: MemoryPort, label: str, text: str) -> str:
    """Give a block a whole new text; make the block where there is none."""
    if any(block.label == label for block in memory.blocks()):
        before = len(memory.block_as_read(label).value)
        memory.write_block(label, text)
        return f"Block {label!r} is rewritten ({before} → {len(text)} characters)."
    memory.create_block(label, text, None)
    return f"There was no block {label!r}; it is made, with {len(text)} characters."


def _parts(patch: str) -> list[tuple[str, tuple[str, str | None], list[str]]]:
    """The parts of a patch that names blocks itself: action, label and label to move to, lines."""
    parts: list[tuple[str, tuple[str, str | None], list[str]]] = []
    for line in patch.split("\n"):
        header = _HEADER.match(line)
        if header is None:
            if parts and not line.startswith(("*** Begin Patch", "*** End Patch")):
                parts[-1][2].append(line)
        elif header[1] != "Move to":
            parts.append((header[1], (header[2], None), []))
        elif parts:
            action, (label, _), body = parts[-1]
            parts[-1] = (action, (label, header[2]), body)
        else:
            raise ToolError("'*** Move to' comes after the header of the block that it renames")
    return [(action, labels, _trimmed(body)) for action, labels, body in parts]


def _trimmed(body: list[str]) -> list[str]:
    end = len(body)
    while end and not body[end - 1].strip():
        end -= 1
    return body[:end]
