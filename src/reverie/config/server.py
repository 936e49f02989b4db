"""Settings of the server itself, who may call it, and its database."""

from pathlib import Path
from typing import Final, Literal

from pydantic_settings import BaseSettings

from reverie.config.fields import POSITIVE, SWITCH, DatabaseUrl, WebUrl, Words, setting

_SERVER: Final = "Server"
_ACCESS: Final = "Who may call"
_DATABASE: Final = "Database"


class ServerSettings(BaseSettings):
    """The server itself, who may call it, and its database."""

    host: str = setting(
        "127.0.0.1",
        "REVERIE_HOST",
        section=_SERVER,
        expects="a host name or address, such as 127.0.0.1 or 0.0.0.0",
        flag="--host",
        note="Address to listen on. Only a loopback address works without keys.",
    )
    port: int = setting(
        8283,
        "REVERIE_PORT",
        section=_SERVER,
        expects="a whole number from 1 to 65535",
        flag="--port",
        note="Port to listen on.",
        ge=1,
        le=65535,
    )
    data_dir: Path = setting(
        None,
        "REVERIE_DATA_DIR",
        section=_SERVER,
        expects="a directory",
        flag="--data-dir",
        note="Holds the SQLite file, the server's key and the environments of tools. "
        "Default: the platform's data directory, on Linux `~/.local/share/reverie`.",
    )
    drain_timeout_s: float = setting(
        30.0,
        "REVERIE_DRAIN_TIMEOUT_S",
        section=_SERVER,
        expects="a number of seconds, 0 or more",
        note="Longest wait for running turns and open streams after SIGTERM.",
        ge=0,
    )
    ping_interval_s: float = setting(
        15.0,
        "REVERIE_PING_INTERVAL_S",
        section=_SERVER,
        expects=POSITIVE,
        note="Silence in a stream after which a ping is sent, for clients that ask for pings.",
        gt=0,
    )
    max_body_bytes: int = setting(
        50_000_000,
        "REVERIE_MAX_BODY_BYTES",
        section=_SERVER,
        expects="a whole number greater than 0",
        note="Largest request body.",
        gt=0,
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info",
        "REVERIE_LOG_LEVEL",
        section=_SERVER,
        expects="debug, info, warning or error",
        note="Least severe message that is logged.",
    )
    log_json: bool = setting(
        False, "REVERIE_LOG_JSON", section=_SERVER, expects=SWITCH, note="One JSON object per log line."
    )
    access_log: bool = setting(
        False, "REVERIE_ACCESS_LOG", section=_SERVER, expects=SWITCH, note="Log a line for each request."
    )
    public_url: WebUrl | None = setting(
        None,
        "REVERIE_PUBLIC_URL",
        section=_SERVER,
        expects="an address such as https://agents.example.org",
        note="Where browsers find this server: people who gave consent to an MCP server are sent back there. "
        "Default: the name by which the caller reached it.",
    )
    api_key: str | None = setting(
        None,
        "REVERIE_API_KEY",
        "LETTA_SERVER_PASSWORD",
        section=_ACCESS,
        expects="a text without spaces around it",
        secret=True,
        note="A key that opens everything, beside those made with `reverie keys create`. "
        "Where it is set, a key is asked for on loopback too.",
    )
    encryption_key: str | None = setting(
        None,
        "REVERIE_ENCRYPTION_KEY",
        "LETTA_ENCRYPTION_KEY",
        section=_ACCESS,
        expects="any text",
        secret=True,
        note="Passphrase from which the key for stored secrets is derived. "
        "Default: a random key in the data directory. Several servers over one database need the same one.",
    )
    allowed_origins: Words = setting(
        (),
        "REVERIE_ALLOWED_ORIGINS",
        "ACCEPTABLE_ORIGINS",
        section=_ACCESS,
        expects="web origins separated by commas, such as https://app.example.org",
        note="Web pages that may call this server, separated by commas.",
    )
    allowed_hosts: Words = setting(
        (),
        "REVERIE_ALLOWED_HOSTS",
        section=_ACCESS,
        expects="host names separated by commas",
        note="Host names besides loopback ones that requests may name while the server listens on loopback, "
        "for a reverse proxy. Where any is set, a key is asked for.",
    )
    database_url: DatabaseUrl | None = setting(
        None,
        "REVERIE_DATABASE_URL",
        "LETTA_PG_URI",
        section=_DATABASE,
        expects="postgresql://user:password@host:5432/database or sqlite:///path/to/file.db",
        flag="--database-url",
        secret=True,
        note="Default: `reverie.db` in the data directory.",
    )
    pg_user: str | None = setting(
        None, "LETTA_PG_USER", section=_DATABASE, expects="a user name", note="Together with the next four: an address."
    )
    pg_password: str | None = setting(
        None, "LETTA_PG_PASSWORD", section=_DATABASE, expects="a password", secret=True, note="See `LETTA_PG_USER`."
    )
    pg_db: str | None = setting(
        None, "LETTA_PG_DB", section=_DATABASE, expects="the name of a database", note="See `LETTA_PG_USER`."
    )
    pg_host: str | None = setting(
        None, "LETTA_PG_HOST", section=_DATABASE, expects="a host name", note="See `LETTA_PG_USER`."
    )
    pg_port: int = setting(
        5432,
        "LETTA_PG_PORT",
        section=_DATABASE,
        expects="a whole number from 1 to 65535",
        note="See `LETTA_PG_USER`.",
        ge=1,
        le=65535,
    )
    pg_pool_size: int = setting(
        10,
        "REVERIE_PG_POOL_SIZE",
        "LETTA_PG_POOL_SIZE",
        section=_DATABASE,
        expects="a whole number greater than 0",
        note="Connections kept open to PostgreSQL.",
        gt=0,
    )
    sqlite_synchronous: Literal["normal", "full"] = setting(
        "normal",
        "REVERIE_SQLITE_SYNCHRONOUS",
        section=_DATABASE,
        expects="normal or full",
        note="`normal` survives a killed process, `full` a power cut too, at about ten times the cost of a commit.",
    )
