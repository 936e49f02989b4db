"""How a run's first reader sees it, as it is stored with the run for those who come later."""

from reverie.api.encode.views import View
from reverie.domain.json import JsonObject
from reverie.domain.run import Run


def reader_state(view: View, *, tokens: bool) -> JsonObject:
    """How a run is read, as it is stored with the run."""
    return {
        "use_assistant_message": view.use_assistant_message,
        "assistant_message_tool_name": view.tool_name,
        "assistant_message_tool_kwarg": view.tool_kwarg,
        "include_return_message_types": None if view.types is None else sorted(view.types),
        "include_compaction_messages": view.compaction,
        "stream_tokens": tokens,
    }


def reader_of(run: Run) -> JsonObject:
    """How the run's first reader saw it; empty for a run that names none."""
    found = run.request.get("reader")
    return found if isinstance(found, dict) else {}


def view_of(reader: JsonObject) -> View:
    """The view that `reader_state` stored."""
    default = View()
    types = reader.get("include_return_message_types")
    return View(
        use_assistant_message=bool(reader.get("use_assistant_message", True)),
        tool_name=reader.get("assistant_message_tool_name") or default.tool_name,
        tool_kwarg=reader.get("assistant_message_tool_kwarg") or default.tool_kwarg,
        types=None if types is None else frozenset(types),
        compaction=bool(reader.get("include_compaction_messages", False)),
    )
