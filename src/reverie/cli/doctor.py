"""`reverie doctor`: what works on this machine, and what to do about what does not."""

import asyncio
import contextlib
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from reverie import __version__
from reverie.cli.serve import database_name, prepare_data_dir
from reverie.config import Settings, unknown_variable_hint
from reverie.domain.errors import ReverieError
from reverie.domain.provider import ModelInfo
from reverie.models.base import ProviderOptions
from reverie.models.catalog import Catalog
from reverie.storage.database import Database, DatabaseOptions
from reverie.storage.drivers import sqlite_driver
from reverie.storage.outage import reason_of
from reverie.storage.search import vector_support
from reverie.tools.executors.sandbox import SandboxExecutor

_PROBE_TIMEOUT_S: Final = 30.0
_SHOWN_MODELS: Final = 12


class State(StrEnum):
    """How a check came out."""

    WORKS = "works"
    LIMITED = "limited"
    """The server runs, but something it could do is missing."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was found."""

    version: str
    findings: Sequence[Finding]
    models: Sequence[ModelInfo] = field(default=())

    @property
    def exit_code(self) -> int:
        """1 when a server could not run here as it is set up."""
        return int(any(finding.state is State.BROKEN for finding in self.findings))


def run(settings: Settings, *, as_json: bool = False) -> int:
    """Look at everything and print what was found."""
    console = Console(highlight=False)
    if as_json:
        report = asyncio.run(examine(settings))
        sys.stdout.write(orjson.dumps(_plain(report), option=orjson.OPT_INDENT_2).decode() + "\n")
        return report.exit_code
    with console.status("Looking …"):
        report = asyncio.run(examine(settings))
    _show(console, report)
    return report.exit_code


async def examine(settings: Settings) -> Report:
    """Run every check at once; one that hangs is given up."""
    checks: list[tuple[str, Callable[[], Awaitable[Finding]]]] = [
        ("Python", lambda: _at_once(_python())),
        ("Settings", lambda: _at_once(_settings(settings))),
        ("Data directory", lambda: _at_once(_data_dir(settings))),
        ("Database", lambda: _database(settings)),
        ("Search", lambda: _search(settings)),
        ("Sandbox for custom tools", lambda: _sandbox(settings)),
        ("Node.js", lambda: _at_once(_node())),
    ]
    catalog = Catalog(settings.model_options())
    try:
        checks.append(("Embeddings", lambda: _embeddings(catalog)))
        for provider in settings.providers():
            checks.append((f"Provider {provider.name}", _probe_of(catalog, provider)))
        findings, models = await asyncio.gather(
            asyncio.gather(*(_bounded(name, check) for name, check in checks)), _models(catalog)
        )
    finally:
        await catalog.aclose()
    if not settings.providers():
        findings.append(_no_provider())
    return Report(version=__version__, findings=findings, models=models)


async def _bounded(name: str, check: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        return await asyncio.wait_for(check(), _PROBE_TIMEOUT_S)
    except TimeoutError:
        return Finding(name=name, state=State.BROKEN, detail=f"no answer within {_PROBE_TIMEOUT_S:.0f} s")
    except (ReverieError, OSError, SQLAlchemyError, sqlite3.Error) as error:
        return Finding(name=name, state=State.BROKEN, detail=reason_of(error))


async def _at_once(finding: Finding) -> Finding:
    return finding


async def _models(catalog: Catalog) -> list[ModelInfo]:
    try:
        return await asyncio.wait_for(catalog.list_models(), _PROBE_TIMEOUT_S)
    except TimeoutError:
        return []


def _python() -> Finding:
    where = f"{platform.python_version()} on {platform.system()} {platform.machine()}, Reverie {__version__}"
    return Finding(name="Python", state=State.WORKS, detail=where)


def _settings(settings: Settings) -> Finding:
    if settings.unknown_variables:
        hints = "; ".join(unknown_variable_hint(name) for name in settings.unknown_variables)
        return Finding(name="Settings", state=State.LIMITED, detail=hints, remedy="Rename or unset them.")
    reach = "this machine only, without a key" if not settings.keys_required else f"{settings.host}, with a key"
    return Finding(name="Settings", state=State.WORKS, detail=f"would serve {reach}, on port {settings.port}")


def _data_dir(settings: Settings) -> Finding:
    path = settings.data_dir
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    with contextlib.suppress(OSError):
        free_gb = shutil.disk_usage(nearest).free / 1e9
        if free_gb < 1:
            return Finding(
                name="Data directory",
                state=State.LIMITED,
                detail=f"{path} has {free_gb:.1f} GB left",
                remedy="Free some space, or choose another directory with --data-dir.",
            )
    if path.exists():
        prepare_data_dir(path)
        return Finding(name="Data directory", state=State.WORKS, detail=str(path))
    return Finding(name="Data directory", state=State.WORKS, detail=f"{path}, made at the first start")


async def _database(settings: Settings) -> Finding:
    options, shown = settings.database_options(), database_name(settings)
    if options.url.startswith("sqlite"):
        return await asyncio.to_thread(_sqlite_file, Path(options.url.removeprefix("sqlite:///")))
    remedy = "Check that PostgreSQL runs there, that the database exists, and the user and password."
    try:
        version = await _with_database(options, lambda c: c.exec_driver_sql("show server_version").scalar())
    except (OSError, SQLAlchemyError, ReverieError) as error:
        return Finding(name="Database", state=State.BROKEN, detail=f"{shown}: {reason_of(error)}", remedy=remedy)
    return Finding(name="Database", state=State.WORKS, detail=f"PostgreSQL {version}, {shown}")


def _sqlite_file(path: Path) -> Finding:
    if not path.exists():
        return Finding(name="Database", state=State.WORKS, detail=f"SQLite, {path}, made at the first start")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute("select count(*) from sqlite_master where type = 'table'").fetchone()[0]
    size_mb = path.stat().st_size / 1e6
    return Finding(name="Database", state=State.WORKS, detail=f"SQLite, {path}, {tables} tables, {size_mb:.1f} MB")


async def _with_database(options: DatabaseOptions, read: Callable[[Any], Any]) -> Any:
    database = Database(options)
    try:
        return await database.read(read)
    finally:
        await database.close()


async def _search(settings: Settings) -> Finding:
    """Words and vectors, on a database of the configured kind; a SQLite file is not touched."""
    options = settings.database_options()
    if not options.url.startswith("sqlite"):
        vectors = str(await _with_database(options, vector_support))
        return Finding(
            name="Search",
            state=State.LIMITED if vectors.startswith("no ") else State.WORKS,
            detail=f"full text; {vectors}",
        )
    driver = sqlite_driver()
    with contextlib.closing(driver.connect(":memory:")) as connection:
        try:
            connection.execute("create virtual table words using fts5(text)")
        except driver.OperationalError:
            return Finding(
                name="Search",
                state=State.BROKEN,
                detail=f"SQLite {driver.sqlite_version} has no full-text search (FTS5)",
                remedy="Use another Python, or PostgreSQL with --database-url.",
            )
    with tempfile.TemporaryDirectory() as folder:
        vectors = await _with_database(DatabaseOptions(url=f"sqlite:///{folder}/probe.db"), vector_support)
    return Finding(name="Search", state=State.WORKS, detail=f"SQLite {driver.sqlite_version}, full text; {vectors}")


async def _sandbox(settings: Settings) -> Finding:
    name = "Sandbox for custom tools"
    executor = SandboxExecutor(settings.sandbox_options())
    try:
        report = await executor.report()
    finally:
        await executor.aclose()
    if report.works:
        return Finding(name=name, state=State.WORKS, detail=report.detail)
    return Finding(
        name=name,
        state=State.LIMITED,
        detail=report.detail,
        remedy="Until then custom tools are refused; everything else works. "
        "REVERIE_TOOL_UNSAFE=true runs them unprotected.",
    )


def _node() -> Finding:
    node = shutil.which("node")
    if node is None:
        return Finding(
            name="Node.js", state=State.WORKS, detail="not here; needed for the TypeScript examples and tests only"
        )
    return Finding(name="Node.js", state=State.WORKS, detail=node)


async def _embeddings(catalog: Catalog) -> Finding:
    embedder = await catalog.default_embedder()
    if embedder is None:
        return Finding(
            name="Embeddings",
            state=State.LIMITED,
            detail="no embedding model: search goes by words alone",
            remedy="Run `make install` again, or set REVERIE_DEFAULT_EMBEDDING to a provider's model.",
        )
    (vector,) = await embedder.embed(["Does this work?"])
    return Finding(name="Embeddings", state=State.WORKS, detail=f"{embedder.info.handle}, {len(vector)} dimensions")


def _probe_of(catalog: Catalog, provider: ProviderOptions) -> Callable[[], Awaitable[Finding]]:
    async def probe() -> Finding:
        result = await catalog.probe(provider)
        remedies = {
            "bad_key": "Set the right key; `docs/reference/settings.md` names the variable.",
            "unreachable": "Check the address and that the server there runs.",
        }
        return Finding(
            name=f"Provider {provider.name}",
            state=State.WORKS if result.works else State.LIMITED,
            detail=result.detail,
            remedy=remedies.get(result.outcome, ""),
        )

    return probe


def provider_problems(settings: Settings) -> list[str]:
    """What is wrong with each configured provider that does not answer as it should."""

    async def ask() -> list[Finding]:
        catalog = Catalog(settings.model_options())
        try:
            probes = ((f"Provider {each.name}", _probe_of(catalog, each)) for each in settings.providers())
            return await asyncio.gather(*(_bounded(name, probe) for name, probe in probes))
        finally:
            await catalog.aclose()

    return [finding.detail for finding in asyncio.run(ask()) if finding.state is not State.WORKS]


def _no_provider() -> Finding:
    return Finding(
        name="Providers",
        state=State.LIMITED,
        detail="no model provider is configured",
        remedy="Set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, OLLAMA_BASE_URL or another variable of "
        "docs/reference/settings.md; `reverie quickstart` shows a toy model without any.",
    )


def _plain(report: Report) -> dict[str, Any]:
    return {
        "version": report.version,
        "works": report.exit_code == 0,
        "findings": [asdict(finding) for finding in report.findings],
        "models": [{"handle": model.handle, "context_window": model.context_window} for model in report.models],
    }


_MARKS: Final = {
    State.WORKS: "[green]✓[/green]",
    State.LIMITED: "[yellow]![/yellow]",
    State.BROKEN: "[red]✗[/red]",
}


def _show(console: Console, report: Report) -> None:
    table = Table(
        title=f"Reverie {report.version}", title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False
    )
    table.add_column(width=1)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in report.findings:
        told = Text(finding.detail)
        if finding.remedy:
            told.append(f"\n{finding.remedy}", style="cyan")
        table.add_row(_MARKS[finding.state], finding.name, told)
    console.print(table)
    for line in _model_lines(report.models):
        console.print(line)


def _model_lines(models: Sequence[ModelInfo]) -> Iterable[str]:
    by_provider: dict[str, list[ModelInfo]] = {}
    for model in models:
        by_provider.setdefault(model.provider_name, []).append(model)
    for provider, listed in by_provider.items():
        yield f"\n[bold]{escape(provider)}[/bold] [dim]context window in tokens[/dim]"
        for model in listed[:_SHOWN_MODELS]:
            yield f"  {model.context_window:>9,}  {escape(model.handle)}"
        if len(listed) > _SHOWN_MODELS:
            yield f"  [dim]and {len(listed) - _SHOWN_MODELS} more; `reverie doctor --json` lists all[/dim]"
