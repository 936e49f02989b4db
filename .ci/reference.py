"""Write the reference pages that are read off the code: routes, events, errors, built-in tools and commands.

Usage: PYTHONPATH=.:src reference.py FOLDER (`make docs`). Settings and compatibility have writers of their own.
"""

import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import typer.main
from tests.support.app import OurRoute, our_routes

from reverie.api.encode.sse import StreamEvent
from reverie.api.errors import status_of
from reverie.cli.main import app as cli
from reverie.domain import errors
from reverie.domain.agent import AgentType
from reverie.domain.tool import ToolType
from reverie.tools.builtin import BUILTIN, base_tools

ROOT = Path(__file__).resolve().parents[1]
_WRITTEN = "<!-- Written by `make docs` from .ci/reference.py and the code; change it there. -->"


def _page(title: str, introduction: str, *lines: str) -> str:
    wrapped = textwrap.fill(introduction, 118, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"# {title}", "", _WRITTEN, "", wrapped, "", *lines]).rstrip() + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return [*lines, *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows), ""]


def _first_sentence(doc: str | None) -> str:
    paragraph = (inspect.cleandoc(doc or "").partition("\n\n")[0]).replace("\n", " ")
    return paragraph.replace("``", "`")


# ---- routes


def routes_page() -> str:
    """Every operation, grouped as the OpenAPI page groups them."""
    groups: dict[str, list[OurRoute]] = {}
    for item in our_routes().values():
        groups.setdefault(str(item.route.tags[0]), []).append(item)
    lines: list[str] = []
    for name in sorted(groups):
        lines += [f"## {name.replace('-', ' ').replace('_', ' ').capitalize()}", ""]
        rows = [(f"`{item.verb} {item.path}`", _first_sentence(item.route.endpoint.__doc__)) for item in groups[name]]
        lines += _table(("Operation", "What it does"), rows)
    count = sum(map(len, groups.values()))
    introduction = (
        f"All {count} operations of this server. A running server shows each with its fields and "
        f"examples at `/docs`, and "
        "as OpenAPI at `/openapi.json`. Which of them the SDKs have, and since when: [compatibility](compatibility.md)."
    )
    return _page("Routes", introduction, *lines)


# ---- events


def events_page() -> str:
    """Every kind of message and stream event, with its fields."""
    kinds: dict[str, list[Any]] = {}
    for event in _members(StreamEvent):
        (kind,) = get_args(typing.get_type_hints(event)["message_type"])
        kinds.setdefault(kind, []).append(event)
    lines: list[str] = []
    for kind, events in kinds.items():
        whole, *pieces = events
        lines += [f"## `{kind}`", "", _first_sentence(whole.__doc__), ""]
        shared = {"message_type", *typing.get_type_hints(_members(StreamEvent)[0].__orig_bases__[0])}
        own = [(name, hint) for name, hint in typing.get_type_hints(whole).items() if name not in shared]
        lines += _table(("Field", "Holds"), [(f"`{name}`", _holds(hint)) for name, hint in own])
        lines += [f"With `stream_tokens`, in pieces: {_first_sentence(piece.__doc__).rstrip('.')}." for piece in pieces]
        lines += [""] * bool(pieces)
    introduction = (
        "What stands in `messages` of an answer, in lists of messages, and in the `data:` lines of a "
        "stream, told apart by "
        "`message_type`. Messages also have `id`, `date`, `otid`, `step_id` and `run_id`; in a "
        "background stream every event "
        "has `seq_id`, behind which a reader goes on. A stream ends with `stop_reason`, "
        "`usage_statistics` and a last line "
        "`data: [DONE]`; that of a run that failed with `stop_reason`, an `event: error` and `[DONE]`."
    )
    return _page("Events and messages", introduction, *lines)


def _members(alias: Any) -> list[Any]:
    found: list[Any] = []
    for part in get_args(alias):
        found += _members(part) if get_args(part) else [part]
    return found


def _holds(hint: Any) -> str:
    parts = [hint]
    if get_origin(hint) not in (None, list, dict, Literal) and type(None) in get_args(hint):
        parts = [part for part in get_args(hint) if part is not type(None)] + ["null"]
    return " or ".join(dict.fromkeys(_word(part) for part in parts))


def _word(hint: Any) -> str:
    if isinstance(hint, str):
        return hint
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) is list:
        return f"list of {_word(get_args(hint)[0])}"
    if get_args(hint) and get_origin(hint) is not dict:
        return " or ".join(dict.fromkeys(_word(part) for part in get_args(hint)))
    plain = {str: "text", int: "number", bool: "true or false"}
    if hint in plain:
        return plain[hint]
    known = {"datetime": "time", "WireToolCall": "call", "WireToolReturn": "result", "WireDecision": "decision"}
    name = str(getattr(hint, "__name__", "object"))
    return known.get(name, {"StopReason": "reason"}.get(name, "object"))


# ---- errors


def errors_page() -> str:
    """Every error with the status it is answered with."""
    rows, model_rows = [], []
    for error in _tree(errors.ReverieError):
        status = str(status_of(error.__new__(error)))
        if issubclass(error, errors.ModelError):
            retry = "yes" if error.retryable else "no"
            model_rows.append(
                (status, f"`{error.error_type}`", f"`{error.stop_reason.value}`", retry, _first_sentence(error.__doc__))
            )
        elif error is not errors.ToolError:
            rows.append((status, _first_sentence(error.__doc__)))
    rows.sort()
    introduction = (
        "Every error is JSON with `detail`, which says what is wrong and what to do. What each means in "
        "practice, and its "
        "remedy: [troubleshooting](../guides/troubleshooting.md)."
    )
    return _page(
        "Errors",
        introduction,
        "## Of the request",
        "",
        *_table(("Status", "When"), rows),
        "## Of the model provider",
        "",
        "A run that failed because of the provider has a `stop_reason` and, in streams and answers, an "
        "`error_type`. Those "
        "marked *again* are tried again before they are told.",
        "",
        *_table(("Status", "`error_type`", "`stop_reason`", "Again", "When"), model_rows),
    )


def _tree(root: type[errors.ReverieError]) -> Iterator[type[errors.ReverieError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


# ---- tools


def tools_page() -> str:
    """Every built-in tool with its parameters, and what agents start with."""
    lines = ["## What an agent starts with", ""]
    rows = []
    for kind in AgentType:
        names = ", ".join(f"`{name}`" for name in base_tools(kind, False)) or "none"
        rows.append((f"`{kind.value}`", names))
    lines += _table(("`agent_type`", "Tools with `include_base_tools`"), rows)
    groups: dict[ToolType, list[str]] = {}
    for name, tool in BUILTIN.items():
        groups.setdefault(tool.tool_type, []).append(name)
    for kind_of_tool, names_of_kind in groups.items():
        lines += [f"## `{kind_of_tool.value}`", ""]
        for name in names_of_kind:
            spec = BUILTIN[name].spec
            lines += [f"### `{name}`", "", spec.description.replace("\n\n", "\n"), ""]
            properties: dict[str, Any] = dict(spec.parameters.get("properties", {}))  # type: ignore[arg-type]
            required: Any = spec.parameters.get("required", [])
            if properties:
                lines += _table(
                    ("Parameter", "", ""),
                    [
                        (
                            f"`{key}`",
                            "required" if key in required else "",
                            str(value.get("description", "")).replace("\n", " "),
                        )
                        for key, value in properties.items()
                    ],
                )
    introduction = (
        "Tools that are part of the server. Attach one by its name when an agent is made "
        '(`tools=["web_search"]`), or later by its '
        'id (`client.tools.list(name="web_search")`). Tools of your own: [custom tools](../guides/custom-tools.md).'
    )
    return _page("Built-in tools", introduction, *lines)


# ---- commands


def commands_page() -> str:
    """Every command of `reverie` with its options."""
    lines: list[str] = []
    root = typer.main.get_command(cli)
    for path, command in _commands(root, ("reverie",)):
        lines += [f"## `{' '.join(path)}`", "", _first_sentence(command.help), ""]
        rows = []
        for parameter in command.params:
            if "--help" in parameter.opts:
                continue
            name = parameter.opts[0] if parameter.opts[0].startswith("-") else f"{parameter.name} (argument)"
            rows.append((f"`{name}`", str(getattr(parameter, "help", "") or "").replace("\n", " ")))
        if rows:
            lines += _table(("Option", ""), rows)
    introduction = (
        "What `reverie` does on the command line. Options go before the [settings](settings.md) of the environment."
    )
    return _page("Commands", introduction, *lines)


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in children:
        yield from _commands(children[name], (*path, name))


# ---- decisions


def decisions_page() -> str:
    """The decisions by their titles."""
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    titles = {page.name: page.read_text().partition("\n")[0].lstrip("# ") for page in pages}
    introduction = "What was chosen, why, and what was measured for it; a page for each, never rewritten."
    return _page("Decisions", introduction, *(f"- [{title}]({name})" for name, title in titles.items()))


# ---- examples


def examples_page() -> str:
    """The programs of examples/ with their text, in the order and with the words of its README."""
    folder = ROOT / "examples"
    lines: list[str] = []
    for row in re.findall(r"^\| (.+) \| (.*) \| (.*) \|$", (folder / "README.md").read_text(), re.MULTILINE):
        programs = re.findall(r"\((\w+/(\w+)\.(py|ts))\)", " ".join(row[1:]))
        if programs:
            title = programs[0][1].partition("_")[2].replace("_", " ").replace("nextjs", "Next.js")
            lines += [f"## {title[0].upper()}{title[1:]}", "", f"{row[0][0].upper()}{row[0][1:]}.", ""]
        for path, _, suffix in programs:
            # `py` and `ts`: these are run one by one, not as programs of this page.
            text = f'```{suffix} title="{path}"\n{(folder / path).read_text().rstrip()}\n```'
            lines += [f'=== "{ {"py": "Python", "ts": "TypeScript"}[suffix] }"', "", textwrap.indent(text, "    "), ""]
    introduction = (
        "Twenty-six small programs, to be read from the first to the last. Each runs by itself against any server, and "
        "takes away what it made; `examples/README.md` says how. A web application is in `examples/chat-app`: one "
        "agent for each visitor, answers as they are written, and the memory beside them."
    )
    return _page("Examples", introduction, *lines)


# ---- rooms


def rooms_page() -> str:
    """The READMEs of the rooms, from the upper floors down to the ground."""
    lines: list[str] = []
    for room in _ROOMS:
        text = (ROOT / "src" / "reverie" / room / "README.md").read_text().replace("](../../../docs/", "](")
        title, _, body = text.partition("\n")
        # The site's Markdown wants an empty line before a list.
        lines += [
            f"#{title}",
            re.sub(r"^([^\s|-].*)\n- ", r"\1\n\n- ", body.replace("\n#", "\n##"), flags=re.MULTILINE),
        ]
    introduction = (
        "What each room of the house owns, what must always hold there, and how it is tested: the READMEs that stand "
        "beside the code, in the order of the [drawing](architecture.md)."
    )
    return _page("Rooms", introduction, *lines)


_ROOMS = (
    *("cli", "config", "api", "operations", "background", "runs", "loop", "context", "auth"),
    *("models", "tools", "storage", "documents", "web", "domain"),
)
"""As `docs/architecture.md` draws them."""


PAGES: dict[str, Callable[[], str]] = {
    "routes.md": routes_page,
    "events.md": events_page,
    "errors.md": errors_page,
    "tools.md": tools_page,
    "commands.md": commands_page,
    "../decisions/index.md": decisions_page,
    "../rooms.md": rooms_page,
    "../guides/examples.md": examples_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        Path(sys.argv[1], name).write_text(page())
