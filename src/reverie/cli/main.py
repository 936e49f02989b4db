"""The `reverie` command. Each subcommand's module is loaded only when it is called."""

import gc
import pkgutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from reverie import __version__
from reverie.auth.keys import Scope
from reverie.domain.errors import ReverieError

_RUNNERS: Final[Mapping[str, str]] = {
    "settings": "reverie.config:load_settings",
    "serve": "reverie.cli.serve:run",
    "worker": "reverie.cli.serve:work",
    "doctor": "reverie.cli.doctor:run",
    "doctor --repair": "reverie.cli.repair:run",
    "quickstart": "reverie.cli.quickstart:run",
    "keys create": "reverie.cli.keys:create",
    "keys list": "reverie.cli.keys:show",
    "keys revoke": "reverie.cli.keys:revoke",
    "keys callback-secret": "reverie.cli.keys:callback_secret",
}
REFUSED: Final = 2
"""Exit code when the user has to change something first."""

app = typer.Typer(
    name="reverie",
    help="An open server for stateful agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

keys = typer.Typer(help="Make, list and end API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")

Host = Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(help="Port to listen on. [default: 8283]")]
DataDir = Annotated[Path | None, typer.Option(help="Directory for the database file, the key and tools.")]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="postgresql://… or sqlite:///…; default: a file in the data directory.")
]
EnvFile = Annotated[Path | None, typer.Option(help="File with settings. [default: .env]")]


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    env_file: EnvFile = None,
) -> None:
    """Serve agents until SIGTERM or Ctrl-C."""
    overrides = {"host": host, "port": port, "data_dir": data_dir, "database_url": database_url}
    _finish("serve", overrides, env_file)


@app.command()
def worker(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    env_file: EnvFile = None,
) -> None:
    """Drive background runs of servers on the same PostgreSQL database, until SIGTERM or Ctrl-C."""
    _finish("worker", {"data_dir": data_dir, "database_url": database_url}, env_file)


@app.command()
def doctor(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    env_file: EnvFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend agents' histories that were damaged elsewhere, and say which.")
    ] = False,
) -> None:
    """Say what works on this machine, and what to do about what does not."""
    if repair:
        _finish("doctor --repair", {"data_dir": data_dir, "database_url": database_url}, env_file)
        return
    _finish("doctor", {"data_dir": data_dir, "database_url": database_url}, env_file, as_json=as_json)


@app.command()
def quickstart(port: Port = None, data_dir: DataDir = None) -> None:
    """Start a server, make an agent that remembers, and show how it does."""
    _finish("quickstart", {"port": port, "data_dir": data_dir}, None)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for, such as a program or a person.")],
    organization: Annotated[
        str | None,
        typer.Option(help="Whose data it opens, by name; made when there is none yet. [default: default]"),
    ] = None,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            help="What it allows; give it several times. `write` and `tools` include `read`, `admin` includes all. "
            "[default: write and tools]"
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 12h, 30d, 8w, or a date such as 2027-01-31. [default: never]")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    env_file: EnvFile = None,
) -> None:
    """Make a key and print it once."""
    overrides = {"data_dir": data_dir, "database_url": database_url}
    asked = {"name": name, "organization": organization, "scopes": scope, "expires": expires}
    _finish("keys create", overrides, env_file, **asked)


@keys.command("list")
def list_keys(
    organization: Annotated[str | None, typer.Option(help="Only keys of this one, by name. [default: all]")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    env_file: EnvFile = None,
) -> None:
    """List all keys."""
    overrides = {"data_dir": data_dir, "database_url": database_url}
    _finish("keys list", overrides, env_file, organization=organization)


@keys.command("callback-secret")
def show_callback_secret(
    organization: Annotated[str | None, typer.Option(help="Whose, by name. [default: the first one]")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    env_file: EnvFile = None,
) -> None:
    """Print the secret that signs callbacks (Standard Webhooks)."""
    overrides = {"data_dir": data_dir, "database_url": database_url}
    _finish("keys callback-secret", overrides, env_file, organization=organization)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="As `reverie keys list` shows it.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    env_file: EnvFile = None,
) -> None:
    """End a key at once and for good."""
    _finish("keys revoke", {"data_dir": data_dir, "database_url": database_url}, env_file, key_id=key_id)


@app.command()
def version() -> None:
    """Print the version."""
    print(f"reverie {__version__}")


def _finish(command: str, overrides: Mapping[str, object], env_file: Path | None, /, **more: object) -> None:
    """Run a subcommand with its settings, and end the process as it says."""
    # Collecting while modules load costs a fifth of the start and frees next to nothing.
    gc.disable()
    try:
        load: Callable[..., Any] = pkgutil.resolve_name(_RUNNERS["settings"])
        settings = load(overrides, env_file=env_file)
        run: Callable[..., int] = pkgutil.resolve_name(_RUNNERS[command])
        if command not in ("serve", "worker"):  # which has more to load, and turns it on itself
            gc.enable()
        code = run(settings, **more)
    except ReverieError as refusal:
        print(f"reverie: {refusal}".replace("\n", "\nreverie: "), file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    raise typer.Exit(code)


if __name__ == "__main__":
    app(prog_name="reverie")
