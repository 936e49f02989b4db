"""One tool for everything about memory blocks, by commands over paths such as `/memories/human`."""

from typing import ClassVar, Final

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec, ToolType
from reverie.tools.base import MemoryPort, StateTool
from reverie.tools.builtin import blocks, editing

ROOT: Final = "/memories"


class Memory(StateTool):
    """Views, makes, edits, deletes and renames blocks."""

    tool_type: ClassVar[ToolType] = ToolType.MEMORY_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="memory",
        description=(
            "Work on memory blocks by command. view: show a block with line numbers, or list all (path /memories). "
            "create: make a block (path, description, file_text). str_replace: replace a passage that stands in the "
            "block exactly once (path, old_string, new_string). insert: add text after a line (path, insert_line, "
            "insert_text). delete: remove a block (path). rename: give a block another label (old_path, new_path) or "
            "another description (path, description)."
        ),
        parameters=editing.schema(
            {
                "command": {
                    "type": "string",
                    "enum": ["create", "view", "str_replace", "insert", "delete", "rename"],
                    "description": "What to do.",
                },
                "path": {"type": "string", "description": "The block, as /memories/<label>."},
                "file_text": {"type": "string", "description": "create: the text of the block."},
                "description": {"type": "string", "description": "create, rename: what belongs in the block."},
                "old_string": {"type": "string", "description": "str_replace: the passage as it stands."},
                "new_string": {"type": "string", "description": "str_replace: what takes its place."},
                "insert_line": {
                    "type": "integer",
                    "description": "insert: the line after which the text goes; 0 for the beginning, -1 for the end.",
                },
                "insert_text": {"type": "string", "description": "insert: the text."},
                "old_path": {"type": "string", "description": "rename: the block."},
                "new_path": {"type": "string", "description": "rename: its new path."},
            },
            ["command"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        match args["command"]:
            case "view":
                return _view(args, memory)
            case "create":
                label, text = _label(args, "path"), args.get("file_text", "")
                editing.refuse_numbers(file_text=text)
                memory.create_block(label, text, args.get("description"))
                return f"Block {label!r} is made, with {len(text)} characters."
            case "str_replace" | "insert":
                return _edit(args, memory)
            case "delete":
                label = _label(args, "path")
                memory.detach_block(label)
                return f"Block {label!r} is deleted."
            case "rename":
                return _rename(args, memory)
            case command:
                raise ToolError(f"there is no command {command!r}")


def _view(args: JsonObject, memory: MemoryPort) -> str:
    path = args.get("path", ROOT)
    if path.rstrip("/") not in (ROOT, ""):
        label = _label(args, "path")
        return f"Block {label!r}:\n{editing.numbered(memory.block(label).value)}"
    lines = [f"{ROOT}/{block.label} ({len(block.value)} of {block.limit} characters)" for block in memory.blocks()]
    return "\n".join(lines) or "There are no memory blocks."


def _edit(args: JsonObject, memory: MemoryPort) -> str:
    label = _label(args, "path")
    if args["command"] == "insert":
        text = _given(args, "insert_text")
        editing.refuse_numbers(insert_text=text)
        edited, before = blocks.insert(memory, label, text, args.get("insert_line", -1))
    else:
        before = memory.block(label).value
        old, new = _given(args, "old_string"), args.get("new_string", "")
        editing.refuse_numbers(old_string=old, new_string=new)
        edited = editing.replace_once(before, old, new)
    memory.write_block(label, edited.text)
    return editing.show(label, before, edited)


def _rename(args: JsonObject, memory: MemoryPort) -> str:
    label = _label(args, "old_path" if "old_path" in args else "path")
    target = _label(args, "new_path") if "new_path" in args else None
    description = args.get("description")
    if target is None and description is None:
        raise ToolError("rename needs new_path, description, or both")
    memory.relabel_block(label, target, description)
    said = [f"is now called {target!r}"] if target is not None else []
    said += ["has a new description"] if description is not None else []
    return f"Block {label!r} {' and '.join(said)}."


def _label(args: JsonObject, name: str) -> str:
    path = str(_given(args, name))
    label = path.removeprefix(f"{ROOT}/").strip("/") if path.rstrip("/") != ROOT else ""
    if not label:
        raise ToolError(f"{name} names no block; write it as {ROOT}/<label>")
    return label


def _given(args: JsonObject, name: str) -> str:
    if name not in args:
        raise ToolError(f"the command {args['command']} needs {name}")
    return str(args[name])
