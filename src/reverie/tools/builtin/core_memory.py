"""Memory tools of the older agent types."""

from typing import ClassVar

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec, ToolType
from reverie.tools.base import MemoryPort, StateTool
from reverie.tools.builtin import blocks, editing


class CoreMemoryAppend(StateTool):
    """Adds a line at a block's end."""

    tool_type: ClassVar[ToolType] = ToolType.MEMORY_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="core_memory_append",
        description="Add text at the end of a memory block.",
        parameters=editing.schema(
            {
                "label": {"type": "string", "description": "Label of the memory block, such as 'human' or 'persona'."},
                "content": {"type": "string", "description": "The text to add. Any Unicode, emoji too."},
            },
            ["label", "content"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        before = memory.block(args["label"]).value
        edited = editing.insert(before, args["content"], -1)
        memory.write_block(args["label"], edited.text)
        return editing.show(args["label"], before, edited)


class CoreMemoryReplace(StateTool):
    """Replaces text wherever it stands in a block."""

    tool_type: ClassVar[ToolType] = ToolType.MEMORY_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="core_memory_replace",
        description="Replace text in a memory block. The old text must match exactly; an empty new text deletes it.",
        parameters=editing.schema(
            {
                "label": {"type": "string", "description": "Label of the memory block, such as 'human' or 'persona'."},
                "old_content": {"type": "string", "description": "The text as it stands."},
                "new_content": {"type": "string", "description": "What takes its place."},
            },
            ["label", "old_content", "new_content"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        label, old, new = args["label"], args["old_content"], args["new_content"]
        before = memory.block(label).value
        if not old or old not in before:
            raise ToolError(f"the text to replace is not in block {label!r}, which reads:\n{editing.numbered(before)}")
        first = before.count("\n", 0, before.index(old)) + 1
        edited = editing.Edited(text=before.replace(old, new), first=first, last=first + new.count("\n"))
        memory.write_block(label, edited.text)
        return editing.show(label, before, edited)


class RethinkMemory(StateTool):
    """Writes a block anew."""

    tool_type: ClassVar[ToolType] = ToolType.MEMORY_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="rethink_memory",
        description=(
            "Rewrite a memory block so that it takes in what is new and drops what is out of date or said twice. "
            "A label that does not exist yet becomes a new block."
        ),
        parameters=editing.schema(
            {
                "new_memory": {"type": "string", "description": "The whole new text of the block."},
                "target_block_label": {"type": "string", "description": "Label of the block to rewrite."},
            },
            ["new_memory", "target_block_label"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        return blocks.rewrite(memory, args["target_block_label"], args["new_memory"])
