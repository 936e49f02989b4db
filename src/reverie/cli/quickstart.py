"""`reverie quickstart`: the first five minutes, on a real server with the real client.

The server runs in a process of its own, as it would for anyone; everything shown comes over
the API through `letta-client`.
"""

import contextlib
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import httpx
from letta_client import APIError, Letta
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from reverie import __version__
from reverie.config import Settings
from reverie.domain.errors import ReverieError

_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 40.0

PREFERRED: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("gpt-5-mini", "gpt-4.1-mini", "gpt-4o-mini", "gpt-5", "gpt-4.1", "gpt-4o"),
    "anthropic": ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-haiku", "claude-sonnet", "claude-3-5-haiku"),
    "google_ai": ("gemini-2.5-flash", "gemini-3-flash", "gemini-2.0-flash"),
    "groq": ("openai/gpt-oss-120b", "llama-3.3-70b"),
    "mistral": ("mistral-medium", "mistral-large", "mistral-small"),
    "deepseek": ("deepseek-chat",),
    "xai": ("grok-4-fast", "grok-4", "grok-3-mini"),
    "ollama": ("qwen3", "gpt-oss", "llama3.3", "llama3.1", "qwen2.5", "mistral"),
    "lmstudio_openai": ("qwen", "gpt-oss", "llama"),
}
"""Beginnings of model names, best for a first talk first: cheap, quick, and able to call tools."""

_LAST: Final = frozenset({"bedrock", "google_vertex"})
"""Their variables are often set for other programs."""

FACT: Final = "Hi! I'm Ada. I study octopuses in Lisbon, and I never start work before ten. Please remember that."
QUESTION: Final = "A colleague suggests a meeting at nine tomorrow. What should I answer?"
TOY_PROVIDER: Final = "toy"
EMPTY_BLOCK: Final = "Nothing is known about the user yet."


class QuickstartFailed(ReverieError):
    """The tour cannot go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What every scene needs."""

    console: Console
    client: Letta
    model: str


def run(settings: Settings) -> int:
    """Give the tour; in a terminal serve on until Ctrl-C afterwards."""
    console = Console(highlight=False)
    console.print()
    console.print(Rule(f"[bold]Reverie {__version__}[/bold]", style="cyan"))
    configured = [provider.name for provider in settings.providers()]
    # `make` and process supervisors end us with SIGTERM; the server must not outlive us.
    signal.signal(signal.SIGTERM, _leave)
    try:
        with contextlib.ExitStack() as stack:
            environment: dict[str, str] = {}
            if not configured:
                environment = stack.enter_context(_toy(console))
            client = stack.enter_context(_server(settings, console, environment))
            model = _choose(client, settings, configured)
            stage = Stage(console=console, client=client, model=model)
            (toy_tour if not configured else tour)(stage)
            _what_next(stage, settings)
            if sys.stdin.isatty() and sys.stdout.isatty():
                _serve_on(console, settings)
    except KeyboardInterrupt:
        console.print("\nStopped.")
    except APIError as error:
        raise QuickstartFailed(f"the server answered with an error: {error.message}") from error
    return 0


def tour(stage: Stage) -> None:
    """An agent is told something, writes it down, and uses it."""
    agent = _make_agent(stage)
    _say(stage, agent, FACT)
    block = stage.client.agents.blocks.retrieve("human", agent_id=agent).value
    if block == EMPTY_BLOCK:
        stage.console.print(
            "[yellow]The model did not write to its memory this time; small models sometimes do not. "
            "Set REVERIE_DEFAULT_MODEL to a larger one and run this again.[/yellow]"
        )
    _show_block(stage.console, "Its memory block 'human' now", block)
    _say(stage, agent, QUESTION)


def toy_tour(stage: Stage) -> None:
    """What a toy can honestly show: that it streams, sees its memory, and that search by meaning works."""
    agent = _make_agent(stage, include_base_tools=False, max_tokens=60)
    _say(stage, agent, "Hello! Who are you?")
    stage.console.print("[dim]  (135 million parameters: it writes sentences, it does not think.)[/dim]")
    _show_block(stage.console, "The memory block inside what the model was sent", _seen_by_model(stage, agent))
    passages = (
        "Octopuses taste what they touch with the suckers of their arms.",
        "The night train from Lisbon to Madrid no longer runs.",
        "Sourdough needs to rest overnight before it is baked.",
    )
    query = "how do sea animals sense food?"
    for text in passages:
        stage.client.agents.passages.create(agent, text=text)
    found = stage.client.agents.passages.search(agent, query=query, top_k=1).results
    stage.console.print(
        f"\n[bold]Search by meaning[/bold] in {len(passages)} archived passages for [cyan]{query}[/cyan]"
    )
    for passage in found:
        stage.console.print(Padding(f"[green]→[/green] {escape(passage.content)}", (0, 2)))


def pick(handles: Sequence[str], providers: Sequence[str]) -> str | None:
    """The model for a first talk: of the first provider that lists any, the most suitable one."""
    for provider in sorted(providers, key=lambda name: name in _LAST):
        names = [handle.partition("/")[2] for handle in handles if handle.partition("/")[0] == provider]
        for beginning in PREFERRED.get(provider, ()):
            suitable = sorted((name for name in names if name.startswith(beginning)), key=len)
            if suitable:
                return f"{provider}/{suitable[0]}"
        if names:
            return f"{provider}/{names[0]}"
    return None


def _choose(client: Letta, settings: Settings, configured: Sequence[str]) -> str:
    if configured and settings.default_model:
        return settings.default_model
    handles = [model.handle for model in client.models.list() if model.handle]
    handle = pick(handles, configured or [TOY_PROVIDER])
    if handle is None:
        ask: Callable[[Settings], Sequence[str]] = pkgutil.resolve_name("reverie.cli.doctor:provider_problems")
        reasons = "; ".join(ask(settings)) or f"{', '.join(configured)} listed none"
        raise QuickstartFailed(
            f"there is no model to talk to: {reasons}. Or unset the variables to go on with a toy model"
        )
    return handle


def _make_agent(stage: Stage, **more: Any) -> str:
    agent = stage.client.agents.create(
        name="Quickstart",
        model=stage.model,
        memory_blocks=[
            {"label": "persona", "value": "I am a warm, brief assistant. I write down what matters about the user."},
            {"label": "human", "value": EMPTY_BLOCK, "description": "What is known about the user."},
        ],
        **more,
    )
    stage.console.print(f"Made an agent on [cyan]{escape(stage.model)}[/cyan]: [dim]{agent.id}[/dim]")
    return agent.id


def _say(stage: Stage, agent: str, text: str) -> None:
    """Send one message and show the reply as it comes."""
    stage.console.print(f"\n[bold cyan]you[/bold cyan]    {escape(text)}")
    stream = stage.client.agents.messages.create(agent, input=text, streaming=True, stream_tokens=True)
    show = Reply(stage.console)
    for event in stream:
        show.event(event)
    show.close()


class Reply:
    """Prints a stream's events: text as it comes, each tool call on a line of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._calls: dict[str, str] = {}
        self._column = 0
        self._line_ends = ""
        """Held back until more text follows: a reply's last ones are not shown."""

    def event(self, event: Any) -> None:
        """Show one event of the stream."""
        match event.message_type:
            case "assistant_message":
                self._write(_text_of(event.content))
            case "tool_call_message":
                call = event.tool_call
                name = getattr(call, "name", None)
                if name:
                    self._calls[call.tool_call_id or ""] = name
            case "tool_return_message":
                self._break()
                mark = "[green]✓[/green]" if event.status == "success" else "[red]✗[/red]"
                name = self._calls.get(event.tool_call_id, getattr(event, "name", None) or "tool")
                self._console.print(f"       {mark} [magenta]{escape(name)}[/magenta]")
            case "error_message":
                self._break()
                raise QuickstartFailed(f"the model failed: {event.message}")

    def close(self) -> None:
        """End the line."""
        self._break()

    def _write(self, text: str) -> None:
        text = self._line_ends + text
        shown = text.rstrip("\n")
        self._line_ends = text[len(shown) :]
        if not shown:
            return
        if self._column == 0:
            shown = shown.lstrip("\n")
            self._console.print("[bold green]agent[/bold green]  ", end="")
            self._column = 7
        for piece in shown.splitlines(keepends=True):
            line = piece.rstrip("\n")
            for index, word in enumerate(line.split(" ")):
                spaced = f" {word}" if index else word
                if self._column + len(spaced) >= self._console.width - 1:
                    self._console.file.write("\n       ")
                    spaced, self._column = word, 7
                self._console.file.write(spaced)
                self._column += len(spaced)
            if piece.endswith("\n"):
                self._console.file.write("\n       ")
                self._column = 7
        self._console.file.flush()

    def _break(self) -> None:
        self._line_ends = ""
        if self._column:
            self._console.file.write("\n")
            self._column = 0


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content or [] if getattr(part, "type", "") == "text")


def _seen_by_model(stage: Stage, agent: str) -> str:
    """The lines around the memory block in the request that the next message would make."""
    body = {"messages": [{"role": "user", "content": "Hello!"}]}
    request: Any = stage.client.post(f"/v1/agents/{agent}/messages/preview-raw-payload", cast_to=object, body=body)
    lines = next((text for text in _strings(request) if EMPTY_BLOCK in text), "").splitlines()
    first = next((number for number, line in enumerate(lines) if line == "<human>"), 0)
    last = next((number for number, line in enumerate(lines) if line == "</human>"), len(lines))
    return "\n".join(lines[first : last + 1])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _show_block(console: Console, title: str, text: str) -> None:
    console.print(
        Padding(Panel(Text(text), title=title, title_align="left", border_style="cyan", expand=False), (1, 0, 0, 0))
    )


def _what_next(stage: Stage, settings: Settings) -> None:
    key = ', api_key="<your key>"' if settings.api_key else ""
    is_toy = stage.model.startswith(f"{TOY_PROVIDER}/")
    code = f"""\
from letta_client import Letta

client = Letta(base_url="{settings.url}"{key})
agent = client.agents.create(
    model="{"openai/gpt-5-mini" if is_toy else stage.model}",
    memory_blocks=[{{"label": "human", "value": ""}}],
)
print(client.agents.messages.create(agent.id, input="Hello!").messages[-1])"""
    stage.console.print()
    stage.console.print(Rule("[bold]What next[/bold]", style="cyan"))
    if is_toy:
        stage.console.print(
            "  Set a provider's variable, such as [cyan]OPENAI_API_KEY[/cyan] or [cyan]OLLAMA_BASE_URL[/cyan], and run "
            "this again:\n  the agent then writes to its memory by itself.\n"
        )
    stage.console.print(Syntax(code, "python", background_color="default"))
    stage.console.print(
        "\n  [cyan].venv/bin/reverie serve[/cyan]    serve without the tour\n"
        "  [cyan].venv/bin/reverie doctor[/cyan]   what works on this machine\n"
        "  [cyan]examples/[/cyan]                  custom tools, streaming, TypeScript"
    )


def _serve_on(console: Console, settings: Settings) -> None:
    console.print(f"\nServing at [link={settings.url}]{settings.url}[/link]; Ctrl-C stops it.")
    signal.pause()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def _toy(console: Console) -> Iterator[dict[str, str]]:
    """The variables that point a server at a running toy model."""
    console.print(
        "No model provider is configured (such as OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY or "
        "OLLAMA_BASE_URL), so this goes on with a [bold yellow]toy model[/bold yellow]."
    )
    start: Callable[[Console], AbstractContextManager[dict[str, str]]] = pkgutil.resolve_name(
        "reverie.cli.toy_setup:running_toy"
    )
    with start(console) as environment:
        yield environment


@contextlib.contextmanager
def _server(settings: Settings, console: Console, environment: Mapping[str, str]) -> Iterator[Letta]:
    """A server in a process of its own, ended when the block is left."""
    command = [sys.executable, "-m", "reverie", "serve", "--host", "127.0.0.1", "--port", str(settings.port)]
    command += ["--data-dir", str(settings.data_dir)]
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = settings.data_dir / "quickstart.log"
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches us alone, and we end the server in order.
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with console.status("Starting the server …"):
            seconds = _wait_until_ready(process, settings.url, log)
        console.print(
            f"Server at [cyan]{settings.url}[/cyan], ready in {seconds:.1f} s; "
            f"data in [cyan]{escape(str(settings.data_dir))}[/cyan]"
        )
        with Letta(base_url=settings.url, api_key=settings.api_key or "local", timeout=300, max_retries=0) as client:
            yield client
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> float:
    started = time.monotonic()
    while (waited := time.monotonic() - started) < _START_TIMEOUT_S:
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()[-10:]
            raise QuickstartFailed("\n".join(line.removeprefix("reverie: ") for line in lines) or "the server ended")
        with contextlib.suppress(httpx.HTTPError):
            # The port is bound before the server is ready, so this one request simply waits.
            if httpx.get(f"{url}/v1/health/", timeout=_START_TIMEOUT_S).is_success:
                return time.monotonic() - started
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise QuickstartFailed(f"the server did not answer within {waited:.0f} s; its log is {str(log)!r}")
