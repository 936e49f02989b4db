"""Tools that act outside the agent: the web, and code in the sandbox. `executors/online.py` runs them.

Source: the tools of type `letta_builtin` as users of the API know them, read 2026-11.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec, ToolType
from reverie.tools.base import BuiltinTool
from reverie.tools.builtin import editing

_WORDS: Final[JsonObject] = {"type": "array", "items": {"type": "string"}}


def _text(description: str, **more: Any) -> JsonObject:
    return {"type": "string", "description": description, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineOptions:
    """Where the web is searched. The first one that is set is asked: an agent's own key, Exa, Tavily, SearXNG."""

    exa_key: str | None = field(default=None, repr=False)
    exa_url: str = "https://api.exa.ai"
    tavily_key: str | None = field(default=None, repr=False)
    tavily_url: str = "https://api.tavily.com"
    searxng_url: str | None = None
    max_page_bytes: int = 5_000_000


class OnlineTool(BuiltinTool):
    """A built-in tool that acts outside: run like a custom tool, between the two commits of a step."""

    tool_type: ClassVar[ToolType] = ToolType.BUILTIN


class WebSearch(OnlineTool):
    """Searches the web."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="web_search",
        description="Search the web. Returns titles, addresses and excerpts; read a whole page with fetch_webpage.",
        parameters=editing.schema(
            {
                "query": _text("What to look for."),
                "num_results": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 100,
                    "description": "How many; 10 if left out.",
                },
                "category": _text(
                    "Kind of content to look among.",
                    enum=[
                        *("company", "research paper", "news", "pdf", "github", "tweet"),
                        *("personal site", "linkedin profile", "financial report"),
                    ],
                ),
                "include_text": {"type": "boolean", "description": "Whether to return whole pages, which are long."},
                "include_domains": {**_WORDS, "description": "Only results of these domains."},
                "exclude_domains": {**_WORDS, "description": "No results of these domains."},
                "start_published_date": _text("Only what was published on or after this date, such as 2026-03-01."),
                "end_published_date": _text("Only what was published on or before this date."),
                "user_location": _text("Country of the reader, as two letters, such as US."),
            },
            ["query"],
        ),
    )


class FetchWebpage(OnlineTool):
    """Reads a page."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="fetch_webpage",
        description="Fetch a web page and return what it says as Markdown, without menus and advertisements.",
        parameters=editing.schema({"url": _text("Address of the page, with http:// or https://.")}, ["url"]),
    )


class RunCode(OnlineTool):
    """Runs code once."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="run_code",
        description=(
            "Run code in a sandbox without network or files of its own. Returns the value of the last expression "
            "(Python), what was printed, and the error if there was one. Nothing is kept for the next call."
        ),
        parameters=editing.schema(
            {
                "code": _text("The whole program."),
                "language": _text("What it is written in.", enum=["python", "js", "ts"]),
            },
            ["code", "language"],
        ),
    )
