"""Settings: the environment, a `.env` file and the command line, read once.

Rooms never see this module. It fills in the options record of each room, and only `cli` and
`wiring` hold a `Settings`. Whatever is wrong is said in one sentence that names the variable
as the user spelled it and what would be right.
"""

import difflib
import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import orjson
from pydantic import AliasChoices, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from reverie.documents.base import DocumentOptions
from reverie.domain.errors import ReverieError
from reverie.models.base import ModelOptions, ProviderOptions
from reverie.storage.database import DatabaseOptions
from reverie.tools.base import SandboxOptions
from reverie.tools.builtin.online import OnlineOptions
from reverie.tools.mcp import McpOptions
from reverie.web.addresses import Network, WebOptions


class SettingsProblem(ReverieError):
    """A setting that cannot be used. Each line of the text is one setting and its remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderVariables:
    """Which variables configure one provider."""

    name: str
    """First part of its handles."""
    type: str
    key: tuple[str, ...] = ()
    url: tuple[str, ...] = ()
    needs: Literal["key", "url", "either", "all"] = "key"
    """What must be set for the provider to be on; `all` means every variable without a default."""
    openai_path: bool = False
    """The address is completed with `/v1` where that is missing."""
    access_key: str | None = None
    region: tuple[str, ...] = ()
    default_region: str | None = None
    project: str | None = None
    version: str | None = None
    default_version: str | None = None
    handle_base: str | None = None
    """Variable that renames the provider in handles."""

    def variables(self) -> tuple[str, ...]:
        """Every variable that is looked at."""
        rest = (self.access_key, self.project, self.version, self.handle_base)
        return (*self.key, *self.url, *self.region, *(name for name in rest if name))


def _keyed(name: str, prefix: str, **more: Any) -> ProviderVariables:
    return ProviderVariables(name=name, type=name, key=(f"{prefix}_API_KEY",), url=(f"{prefix}_BASE_URL",), **more)


# Names in handles and variables as people have them in the `.env` files of the retired server.
# Source: its settings and its list of provider types, read 2026-11.
PROVIDERS: Final[tuple[ProviderVariables, ...]] = (
    ProviderVariables(
        name="openai",
        type="openai",
        key=("OPENAI_API_KEY",),
        url=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        needs="either",
    ),
    _keyed("anthropic", "ANTHROPIC"),
    ProviderVariables(
        name="google_ai", type="google_ai", key=("GEMINI_API_KEY", "GOOGLE_API_KEY"), url=("GEMINI_BASE_URL",)
    ),
    ProviderVariables(
        name="google_vertex",
        type="google_vertex",
        project="GOOGLE_CLOUD_PROJECT",
        region=("GOOGLE_CLOUD_LOCATION",),
        needs="all",
    ),
    ProviderVariables(
        name="azure",
        type="azure",
        key=("AZURE_API_KEY",),
        url=("AZURE_BASE_URL",),
        version="AZURE_API_VERSION",
        default_version="2024-09-01-preview",
        needs="all",
    ),
    ProviderVariables(
        name="bedrock",
        type="bedrock",
        access_key="AWS_ACCESS_KEY_ID",
        key=("AWS_SECRET_ACCESS_KEY",),
        region=("AWS_DEFAULT_REGION", "AWS_REGION"),
        default_region="us-east-1",
        needs="all",
    ),
    ProviderVariables(name="ollama", type="ollama", url=("OLLAMA_BASE_URL",), key=("OLLAMA_API_KEY",), needs="url"),
    ProviderVariables(
        name="lmstudio_openai",
        type="lmstudio_openai",
        url=("LMSTUDIO_BASE_URL",),
        key=("LMSTUDIO_API_KEY",),
        needs="url",
        openai_path=True,
    ),
    ProviderVariables(
        name="vllm",
        type="vllm",
        url=("VLLM_API_BASE",),
        key=("VLLM_API_KEY",),
        needs="url",
        openai_path=True,
        handle_base="VLLM_HANDLE_BASE",
    ),
    ProviderVariables(
        name="sglang",
        type="sglang",
        url=("SGLANG_API_BASE",),
        key=("SGLANG_API_KEY",),
        needs="url",
        openai_path=True,
        handle_base="SGLANG_HANDLE_BASE",
    ),
    ProviderVariables(
        name="llamacpp",
        type="llamacpp",
        url=("LLAMACPP_BASE_URL",),
        key=("LLAMACPP_API_KEY",),
        needs="url",
        openai_path=True,
        handle_base="LLAMACPP_HANDLE_BASE",
    ),
    _keyed("openrouter", "OPENROUTER", handle_base="OPENROUTER_HANDLE_BASE"),
    _keyed("groq", "GROQ"),
    _keyed("together", "TOGETHER"),
    _keyed("deepseek", "DEEPSEEK"),
    _keyed("xai", "XAI"),
    _keyed("mistral", "MISTRAL"),
    _keyed("zai", "ZAI"),
    _keyed("minimax", "MINIMAX"),
    _keyed("moonshot", "MOONSHOT"),
    ProviderVariables(
        name="fireworks",
        type="fireworks",
        key=("FIREWORKS_API_KEY",),
        url=("FIREWORKS_BASE_URL", "FIREWORKS_API_BASE"),
    ),
    _keyed("cerebras", "CEREBRAS"),
    _keyed("baseten", "BASETEN"),
    ProviderVariables(name="hugging-face", type="hugging-face", key=("HF_TOKEN",), url=("HF_BASE_URL",)),
)

_CLIENT_VARIABLES: Final = frozenset({"REVERIE_URL", "REVERIE_MODEL", "REVERIE_EMBEDDING", "REVERIE_ENV_FILE"})
"""Read by the examples and the command line, not by the server."""


def _setting(
    default: Any,
    *names: str,
    section: str,
    expects: str,
    note: str = "",
    flag: str | None = None,
    secret: bool = False,
    **bounds: Any,
) -> Any:
    """Declare a field: `names` are its variables, the first one ours, the others understood too."""
    extra: dict[str, Any] = {
        "section": section,
        "expects": expects,
        "flag": flag,
        "secret": secret,
        "names": list(names),
    }
    return Field(
        default,
        validation_alias=AliasChoices(*names),
        description=note,
        json_schema_extra=extra,
        repr=not secret,
        **bounds,
    )


def _words(value: object) -> object:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _network(value: object) -> object:
    word = str(value).strip().lower()
    return {"true": "all", "1": "all", "yes": "all", "false": "none", "0": "none", "no": "none"}.get(word, word)


def _handle_numbers(value: object) -> object:
    """Read `handle=number,handle=number`, or the same as a JSON object."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return orjson.loads(value)
    pairs = (item.rpartition("=") for item in value.split(",") if item.strip())
    return {handle.strip(): number.strip() for handle, _, number in pairs}


def _database_url(value: object) -> object:
    """Reduce every spelling to `sqlite:///path` or `postgresql://…`, options as the driver wants them."""
    if not isinstance(value, str):
        return value
    try:
        url = make_url(value.strip())
    except ArgumentError as error:
        raise ValueError("not a URL") from error
    backend = url.get_backend_name()
    if backend in ("postgres", "postgresql"):
        query = {key: text for key, text in url.query.items() if key != "channel_binding"}
        if "sslmode" in query:
            query["ssl"] = query.pop("sslmode")
        if not url.database:
            raise ValueError("the URL names no database")
        return url.set(drivername="postgresql", query=query).render_as_string(hide_password=False)
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("an in-memory database would forget everything")
        return f"sqlite:///{Path(url.database).expanduser().absolute()}"
    raise ValueError(f"{backend!r} is not a database that Reverie can store in")


def _networks(value: object) -> object:
    """Read addresses and ranges separated by commas; a bare address is a range of one."""
    words = _words(value)
    if not isinstance(words, tuple | list):
        return words
    return tuple(ipaddress.ip_network(word) if isinstance(word, str) else word for word in words)


def _web_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("an address starts with http:// or https://")
    return value.rstrip("/")


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
HandleNumbers = Annotated[dict[str, Annotated[int, Field(gt=0)]], NoDecode, BeforeValidator(_handle_numbers)]
WebUrl = Annotated[str, BeforeValidator(_web_url)]
DatabaseUrl = Annotated[str, BeforeValidator(_database_url)]

_SERVER: Final = "Server"
_ACCESS: Final = "Who may call"
_DATABASE: Final = "Database"
_RUNS: Final = "Runs"
_MODELS: Final = "Models"
_TOOLS: Final = "Tools"
_WEB: Final = "Addresses that users name"
_FILES: Final = "Files"
_POSITIVE: Final = "a number greater than 0"
_SWITCH: Final = "true or false"


def default_data_dir() -> Path:
    """Where this platform keeps the data of a program."""
    home = Path(os.path.expanduser("~"))  # does not raise without a home, as Path.home() does
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "reverie"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "reverie"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "reverie"


class Settings(BaseSettings):
    """Everything that can be set from outside. Frozen; make it with `load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True, validate_default=False
    )

    host: str = _setting(
        "127.0.0.1",
        "REVERIE_HOST",
        section=_SERVER,
        expects="a host name or address, such as 127.0.0.1 or 0.0.0.0",
        flag="--host",
        note="Address to listen on. Only a loopback address works without keys.",
    )
    port: int = _setting(
        8283,
        "REVERIE_PORT",
        section=_SERVER,
        expects="a whole number from 1 to 65535",
        flag="--port",
        note="Port to listen on.",
        ge=1,
        le=65535,
    )
    data_dir: Path = _setting(
        None,
        "REVERIE_DATA_DIR",
        section=_SERVER,
        expects="a directory",
        flag="--data-dir",
        note="Holds the SQLite file, the server's key and the environments of tools. "
        "Default: the platform's data directory, on Linux `~/.local/share/reverie`.",
    )
    drain_timeout_s: float = _setting(
        30.0,
        "REVERIE_DRAIN_TIMEOUT_S",
        section=_SERVER,
        expects="a number of seconds, 0 or more",
        note="Longest wait for running turns and open streams after SIGTERM.",
        ge=0,
    )
    ping_interval_s: float = _setting(
        15.0,
        "REVERIE_PING_INTERVAL_S",
        section=_SERVER,
        expects=_POSITIVE,
        note="Silence in a stream after which a ping is sent, for clients that ask for pings.",
        gt=0,
    )
    max_body_bytes: int = _setting(
        50_000_000,
        "REVERIE_MAX_BODY_BYTES",
        section=_SERVER,
        expects="a whole number greater than 0",
        note="Largest request body.",
        gt=0,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info",
        "REVERIE_LOG_LEVEL",
        section=_SERVER,
        expects="debug, info, warning or error",
        note="Least severe message that is logged.",
    )
    log_json: bool = _setting(
        False, "REVERIE_LOG_JSON", section=_SERVER, expects=_SWITCH, note="One JSON object per log line."
    )
    access_log: bool = _setting(
        False, "REVERIE_ACCESS_LOG", section=_SERVER, expects=_SWITCH, note="Log a line for each request."
    )

    api_key: str | None = _setting(
        None,
        "REVERIE_API_KEY",
        "LETTA_SERVER_PASSWORD",
        section=_ACCESS,
        expects="a text without spaces around it",
        secret=True,
        note="A key that opens everything, beside those made with `reverie keys create`. "
        "Where it is set, a key is asked for on loopback too.",
    )
    encryption_key: str | None = _setting(
        None,
        "REVERIE_ENCRYPTION_KEY",
        "LETTA_ENCRYPTION_KEY",
        section=_ACCESS,
        expects="any text",
        secret=True,
        note="Passphrase from which the key for stored secrets is derived. "
        "Default: a random key in the data directory. Several servers over one database need the same one.",
    )
    allowed_origins: Words = _setting(
        (),
        "REVERIE_ALLOWED_ORIGINS",
        "ACCEPTABLE_ORIGINS",
        section=_ACCESS,
        expects="web origins separated by commas, such as https://app.example.org",
        note="Web pages that may call this server, separated by commas.",
    )
    allowed_hosts: Words = _setting(
        (),
        "REVERIE_ALLOWED_HOSTS",
        section=_ACCESS,
        expects="host names separated by commas",
        note="Host names besides loopback ones that requests may name while the server listens on loopback, "
        "for a reverse proxy. Where any is set, a key is asked for.",
    )

    database_url: DatabaseUrl | None = _setting(
        None,
        "REVERIE_DATABASE_URL",
        "LETTA_PG_URI",
        section=_DATABASE,
        expects="postgresql://user:password@host:5432/database or sqlite:///path/to/file.db",
        flag="--database-url",
        secret=True,
        note="Default: `reverie.db` in the data directory.",
    )
    pg_user: str | None = _setting(
        None, "LETTA_PG_USER", section=_DATABASE, expects="a user name", note="Together with the next four: an address."
    )
    pg_password: str | None = _setting(
        None, "LETTA_PG_PASSWORD", section=_DATABASE, expects="a password", secret=True, note="See `LETTA_PG_USER`."
    )
    pg_db: str | None = _setting(
        None, "LETTA_PG_DB", section=_DATABASE, expects="the name of a database", note="See `LETTA_PG_USER`."
    )
    pg_host: str | None = _setting(
        None, "LETTA_PG_HOST", section=_DATABASE, expects="a host name", note="See `LETTA_PG_USER`."
    )
    pg_port: int = _setting(
        5432,
        "LETTA_PG_PORT",
        section=_DATABASE,
        expects="a whole number from 1 to 65535",
        note="See `LETTA_PG_USER`.",
        ge=1,
        le=65535,
    )
    pg_pool_size: int = _setting(
        10,
        "REVERIE_PG_POOL_SIZE",
        "LETTA_PG_POOL_SIZE",
        section=_DATABASE,
        expects="a whole number greater than 0",
        note="Connections kept open to PostgreSQL.",
        gt=0,
    )
    sqlite_synchronous: Literal["normal", "full"] = _setting(
        "normal",
        "REVERIE_SQLITE_SYNCHRONOUS",
        section=_DATABASE,
        expects="normal or full",
        note="`normal` survives a killed process, `full` a power cut too, at about ten times the cost of a commit.",
    )

    busy_policy: Literal["enqueue", "reject", "interrupt"] = _setting(
        "enqueue",
        "REVERIE_BUSY_POLICY",
        section=_RUNS,
        expects="enqueue, reject or interrupt",
        note="What happens to a message for a conversation that is busy: it waits, is answered with 409, or cancels "
        "what runs. An agent's metadata `busy_policy`, and `busy_policy` in a request, go before it.",
    )
    lease_s: float = _setting(
        15.0,
        "REVERIE_LEASE_S",
        section=_RUNS,
        expects=_POSITIVE,
        note="How long a run stays with a server that no longer answers, in seconds.",
        gt=0,
    )

    workers: int = _setting(
        100,
        "REVERIE_WORKERS",
        section=_RUNS,
        expects="a whole number, 0 or more",
        note="Most background runs that this process drives at the same time; more wait in line. 0, on PostgreSQL "
        "only: it leaves them, and schedules, batches, uploaded files and sleeptime, to other processes.",
        ge=0,
    )
    schedule_grace_s: float = _setting(
        86_400.0,
        "REVERIE_SCHEDULE_GRACE_S",
        section=_RUNS,
        expects="a number of seconds, 0 or more",
        note="How late a message that was scheduled for one time is still sent when the server was down then.",
        ge=0,
    )
    approval_timeout_s: float = _setting(
        0.0,
        "REVERIE_APPROVAL_TIMEOUT_S",
        section=_RUNS,
        expects="a number of seconds, 0 or more",
        note="After how many seconds calls that wait for an approval, or for a client's result, are denied. 0: never. "
        "An agent's metadata `approval_timeout_s` goes before it.",
        ge=0,
    )
    peer_depth: int = _setting(
        5,
        "REVERIE_PEER_DEPTH",
        section=_RUNS,
        expects="a whole number greater than 0",
        note="Most agents that may send messages to one another in a row.",
        gt=0,
    )
    peer_busy_timeout_s: float = _setting(
        60.0,
        "REVERIE_PEER_BUSY_TIMEOUT_S",
        section=_RUNS,
        expects=_POSITIVE,
        note="Longest wait of an agent for another one that is busy, in seconds.",
        gt=0,
    )
    peer_reply_timeout_s: float = _setting(
        600.0,
        "REVERIE_PEER_REPLY_TIMEOUT_S",
        section=_RUNS,
        expects=_POSITIVE,
        note="Longest wait of an agent for another one's answer, in seconds; then that turn is stopped.",
        gt=0,
    )
    sleeptime_interval_s: float = _setting(
        30.0,
        "REVERIE_SLEEPTIME_INTERVAL_S",
        section=_RUNS,
        expects=_POSITIVE,
        note="How often is looked for sleeptime work that another server left, in seconds; one's own begins at once.",
        gt=0,
    )

    trace_days: float = _setting(
        7.0,
        "REVERIE_TRACE_DAYS",
        section=_RUNS,
        expects="a number of days, 0 or more",
        note="How long requests to model providers and their replies are kept for `steps/{id}/trace`. 0 keeps none.",
        ge=0,
    )
    crash_at: str | None = _setting(
        None,
        "REVERIE_CRASH_AT",
        section=_RUNS,
        expects="the name of a crash point, or name:n for its n-th passing",
        note="For tests of recovery: the server kills itself there.",
    )

    default_model: str | None = _setting(
        None,
        "REVERIE_DEFAULT_MODEL",
        "LETTA_DEFAULT_LLM_HANDLE",
        section=_MODELS,
        expects="a handle, such as openai/gpt-5-mini",
        note="Model of agents that name none.",
    )
    message_vectors: bool | None = _setting(
        None,
        "REVERIE_MESSAGE_VECTORS",
        section=_MODELS,
        expects="true or false",
        note="Embed what users and agents say, so that it is found by meaning too, not by its words alone. Unset: "
        "of agents among whose messages somebody looked for a meaning once; the newest before that search, the "
        "others while no turn runs (some 7 ms of CPU for a short message, and 150 MB of memory while there is work, "
        "with the built-in embedder). `true`: of all agents, `false`: of none.",
    )
    default_embedding: str | None = _setting(
        None,
        "REVERIE_DEFAULT_EMBEDDING",
        "LETTA_DEFAULT_EMBEDDING_HANDLE",
        section=_MODELS,
        expects="a handle, such as openai/text-embedding-3-small",
        note="Embedding model of agents that name none. Default: the built-in one.",
    )
    context_windows: HandleNumbers = _setting(
        {},
        "REVERIE_CONTEXT_WINDOWS",
        section=_MODELS,
        expects="handles and tokens, such as ollama/qwen3=32768,openai/mine=128000",
        note="Context windows in tokens that override what the provider says: `handle=tokens`, separated by commas.",
    )
    model_connect_timeout_s: float = _setting(
        10.0,
        "REVERIE_MODEL_CONNECT_TIMEOUT_S",
        section=_MODELS,
        expects=_POSITIVE,
        note="Longest wait for a connection to a provider, in seconds.",
        gt=0,
    )
    model_read_timeout_s: float = _setting(
        600.0,
        "REVERIE_MODEL_READ_TIMEOUT_S",
        "LETTA_LLM_STREAM_TIMEOUT_SECONDS",
        section=_MODELS,
        expects=_POSITIVE,
        note="Longest silence of a provider within a reply, in seconds.",
        gt=0,
    )

    tool_timeout_s: float = _setting(
        180.0,
        "REVERIE_TOOL_TIMEOUT_S",
        "TOOL_SANDBOX_TIMEOUT",
        section=_TOOLS,
        expects=_POSITIVE,
        note="Longest run of a custom tool, in seconds.",
        gt=0,
    )
    tool_memory_mb: int = _setting(
        512,
        "REVERIE_TOOL_MEMORY_MB",
        section=_TOOLS,
        expects="a whole number of megabytes, 64 or more",
        note="Memory of one call of a custom tool.",
        ge=64,
    )
    tool_processes: int = _setting(
        64,
        "REVERIE_TOOL_PROCESSES",
        section=_TOOLS,
        expects="a whole number greater than 0",
        note="Processes and threads that one call of a custom tool may have.",
        gt=0,
    )
    tool_environment_mb: int = _setting(
        4096,
        "REVERIE_TOOL_ENVIRONMENT_MB",
        section=_TOOLS,
        expects="a whole number greater than 0",
        note="Largest folder of packages that one list of a tool's requirements may fill, in MiB.",
        gt=0,
    )
    tool_network: Annotated[Literal["none", "tagged", "all"], BeforeValidator(_network)] = _setting(
        "none",
        "REVERIE_TOOL_NETWORK",
        section=_TOOLS,
        expects="none, tagged or all",
        note="Which custom tools reach the network, through a proxy that refuses this machine and private networks: "
        "none, those with the tag `network`, or all. `true` means all, `false` none.",
    )
    tool_warm_workers: int = _setting(
        2,
        "REVERIE_TOOL_WARM_WORKERS",
        section=_TOOLS,
        expects="a whole number, 0 or more",
        note="Sandboxes started ahead of need. More make many calls at once quicker, each holds some memory.",
        ge=0,
    )
    tool_unsafe: bool = _setting(
        False,
        "REVERIE_TOOL_UNSAFE",
        section=_TOOLS,
        expects=_SWITCH,
        note="Run custom tools without a sandbox where bubblewrap cannot run: "
        "they can then read every file and key the server can. Only for code you wrote yourself.",
    )
    mcp_disable_stdio: bool | None = _setting(
        None,
        "REVERIE_MCP_DISABLE_STDIO",
        "MCP_DISABLE_STDIO",
        section=_TOOLS,
        expects=_SWITCH,
        note="Refuse MCP servers that are started as processes. "
        "Default: refused unless the server listens on loopback.",
    )

    mcp_connect_timeout_s: float = _setting(
        30.0,
        "REVERIE_MCP_CONNECT_TIMEOUT_S",
        "MCP_CONNECT_TO_SERVER_TIMEOUT",
        section=_TOOLS,
        expects=_POSITIVE,
        note="Longest wait for a connection to an MCP server, in seconds; for the start of one that is a process too.",
        gt=0,
    )
    mcp_list_timeout_s: float = _setting(
        30.0,
        "REVERIE_MCP_LIST_TIMEOUT_S",
        "MCP_LIST_TOOLS_TIMEOUT",
        section=_TOOLS,
        expects=_POSITIVE,
        note="Longest wait for an MCP server's list of tools, in seconds.",
        gt=0,
    )
    mcp_call_timeout_s: float = _setting(
        60.0,
        "REVERIE_MCP_CALL_TIMEOUT_S",
        "MCP_EXECUTE_TOOL_TIMEOUT",
        section=_TOOLS,
        expects=_POSITIVE,
        note="Longest call of an MCP server's tool, in seconds.",
        gt=0,
    )
    public_url: WebUrl | None = _setting(
        None,
        "REVERIE_PUBLIC_URL",
        section=_SERVER,
        expects="an address such as https://agents.example.org",
        note="Where browsers find this server: people who gave consent to an MCP server are sent back there. "
        "Default: the name by which the caller reached it.",
    )

    exa_api_key: str | None = _setting(
        None,
        "REVERIE_EXA_API_KEY",
        "EXA_API_KEY",
        section=_TOOLS,
        expects="a key of Exa",
        secret=True,
        note="Lets the tool `web_search` ask Exa. An agent's own secret `EXA_API_KEY` comes first.",
    )
    exa_url: WebUrl = _setting(
        "https://api.exa.ai",
        "REVERIE_EXA_URL",
        section=_TOOLS,
        expects="an address that starts with http:// or https://",
        note="Where Exa is asked.",
    )
    tavily_api_key: str | None = _setting(
        None,
        "REVERIE_TAVILY_API_KEY",
        "TAVILY_API_KEY",
        section=_TOOLS,
        expects="a key of Tavily",
        secret=True,
        note="Lets the tool `web_search` ask Tavily, where there is no key of Exa. "
        "An agent's own secret `TAVILY_API_KEY` comes first.",
    )
    tavily_url: WebUrl = _setting(
        "https://api.tavily.com",
        "REVERIE_TAVILY_URL",
        section=_TOOLS,
        expects="an address that starts with http:// or https://",
        note="Where Tavily is asked.",
    )
    searxng_url: WebUrl | None = _setting(
        None,
        "REVERIE_SEARXNG_URL",
        section=_TOOLS,
        expects="an address that starts with http:// or https://",
        note="Lets the tool `web_search` ask a SearXNG server, where there is no key of Exa or Tavily; "
        "its format `json` must be on.",
    )

    allow_private_addresses: bool | None = _setting(
        None,
        "REVERIE_ALLOW_PRIVATE_ADDRESSES",
        section=_WEB,
        expects=_SWITCH,
        note="Open URLs of this machine and of private networks when a user names them: images, MCP servers, "
        "pages, callbacks. Default: only while the server listens on loopback. Link-local and metadata addresses "
        "stay closed.",
    )
    allowed_networks: Networks = _setting(
        (),
        "REVERIE_ALLOWED_NETWORKS",
        section=_WEB,
        expects="addresses or ranges separated by commas, such as 10.1.2.3,192.168.7.0/24",
        note="Addresses and ranges that may be opened whatever else is said, separated by commas.",
    )
    file_max_bytes: int = _setting(
        40_000_000,
        "REVERIE_FILE_MAX_BYTES",
        section=_FILES,
        expects="a whole number greater than 0",
        note="Largest file that is read; REVERIE_MAX_BODY_BYTES bounds uploads as well.",
        gt=0,
    )
    file_timeout_s: float = _setting(
        120.0,
        "REVERIE_FILE_TIMEOUT_S",
        section=_FILES,
        expects=_POSITIVE,
        note="Longest reading of one file by its parser, in seconds.",
        gt=0,
    )
    file_memory_mb: int = _setting(
        1024,
        "REVERIE_FILE_MEMORY_MB",
        section=_FILES,
        expects="a whole number of megabytes, 256 or more",
        note="Memory of the process that reads one file.",
        ge=256,
    )

    provider_variables: dict[str, str] = Field(default_factory=dict, repr=False, exclude=True)
    """Every variable of `PROVIDERS` that is set, in capitals."""
    unknown_variables: tuple[str, ...] = Field(default=(), exclude=True)
    """`REVERIE_…` variables that mean nothing: typing mistakes, most likely."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, then environment, then file."""
        return init_settings, env_settings, dotenv_settings

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def keys_required(self) -> bool:
        """Whether requests must carry a key."""
        return not self.is_loopback or self.api_key is not None or bool(self.allowed_hosts)

    @property
    def url(self) -> str:
        """Where this machine finds the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    @property
    def mcp_stdio_allowed(self) -> bool:
        """Whether MCP servers may be started as processes on this machine."""
        return self.is_loopback if self.mcp_disable_stdio is None else not self.mcp_disable_stdio

    def database_options(self) -> DatabaseOptions:
        """The options of the storage room."""
        return DatabaseOptions(
            url=self.database_url or self._old_postgres_url() or f"sqlite:///{self.data_dir / 'reverie.db'}",
            sqlite_synchronous=self.sqlite_synchronous,
            pool_size=self.pg_pool_size,
        )

    def model_options(self) -> ModelOptions:
        """The options of the models room."""
        return ModelOptions(
            providers=self.providers(),
            default_embedding=self.default_embedding,
            connect_timeout_s=self.model_connect_timeout_s,
            read_timeout_s=self.model_read_timeout_s,
            context_windows=dict(self.context_windows),
        )

    def sandbox_options(self) -> SandboxOptions:
        """The options of the executors for custom tools."""
        return SandboxOptions(
            timeout_s=self.tool_timeout_s,
            memory_bytes=self.tool_memory_mb * 1024 * 1024,
            processes=self.tool_processes,
            environment_bytes=self.tool_environment_mb * 1024 * 1024,
            network=self.tool_network,
            warm_workers=self.tool_warm_workers,
            data_dir=str(self.data_dir / "tools"),
            unsafe_subprocess=self.tool_unsafe,
        )

    def mcp_options(self) -> McpOptions:
        """The options of connections to MCP servers."""
        return McpOptions(
            allow_stdio=self.mcp_stdio_allowed,
            connect_timeout_s=self.mcp_connect_timeout_s,
            list_timeout_s=self.mcp_list_timeout_s,
            call_timeout_s=self.mcp_call_timeout_s,
        )

    def online_options(self) -> OnlineOptions:
        """The options of the built-in tools that act outside."""
        return OnlineOptions(
            exa_key=self.exa_api_key,
            exa_url=self.exa_url,
            tavily_key=self.tavily_api_key,
            tavily_url=self.tavily_url,
            searxng_url=self.searxng_url,
        )

    def web_options(self) -> WebOptions:
        """The options of whatever opens URLs on a user's word."""
        private = self.allow_private_addresses
        return WebOptions(
            allow_private=self.is_loopback if private is None else private, networks=self.allowed_networks
        )

    def document_options(self) -> DocumentOptions:
        """The options of the room that reads files."""
        return DocumentOptions(timeout_s=self.file_timeout_s, memory_bytes=self.file_memory_mb * 1024 * 1024)

    def providers(self) -> tuple[ProviderOptions, ...]:
        """The providers whose variables are set, in the order of `PROVIDERS`.

        Raises:
            SettingsProblem: an address that is none.
        """
        found = (_provider(variables, self.provider_variables) for variables in PROVIDERS)
        return tuple(provider for provider in found if provider is not None)

    def _old_postgres_url(self) -> str | None:
        if not (self.pg_user and self.pg_password and self.pg_db and self.pg_host):
            return None
        login = f"{quote(self.pg_user, safe='')}:{quote(self.pg_password, safe='')}"
        return f"postgresql://{login}@{self.pg_host}:{self.pg_port}/{quote(self.pg_db, safe='')}"


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine to itself only."""
    bare = host.strip("[]").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def load_settings(overrides: Mapping[str, object] | None = None, *, env_file: Path | None = None) -> Settings:
    """Read the settings once: `overrides` by field name, then the environment, then the file.

    Without `env_file` the `.env` of the working directory is read where there is one.

    Raises:
        SettingsProblem: one line for each setting that cannot be used.
    """
    if env_file is not None and not env_file.is_file():
        raise SettingsProblem(f"the settings file {str(env_file)!r} does not exist; check the path")
    file = env_file or Path(".env")
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    environment = _variables(EnvSettingsSource(Settings))
    try:
        in_file = _variables(DotEnvSettingsSource(Settings, env_file=file))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsProblem(f"the settings file {str(file)!r} cannot be read: {error}") from error
    everything = {**in_file, **environment}
    wanted = {name for provider in PROVIDERS for name in provider.variables()}
    values: dict[str, Any] = {
        "_env_file": file,
        "data_dir": everything.get("REVERIE_DATA_DIR") or default_data_dir(),
        **given,
        "provider_variables": {name: text for name, text in everything.items() if name in wanted},
        "unknown_variables": _unknown(everything),
    }
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsProblem("\n".join(_sentences(error, given, environment, in_file))) from None
    settings = settings.model_copy(update={"data_dir": settings.data_dir.expanduser().absolute()})
    settings.providers()
    return settings


def _variables(source: EnvSettingsSource) -> dict[str, str]:
    return {name.upper(): value for name, value in source.env_vars.items() if value}


def _unknown(variables: Mapping[str, str]) -> tuple[str, ...]:
    known = {name for setting in describe_settings() for name in setting.names} | _CLIENT_VARIABLES
    return tuple(sorted(name for name in variables if name.startswith("REVERIE_") and name not in known))


def unknown_variable_hint(name: str) -> str:
    """Say that `name` means nothing, and what may have been meant."""
    known = [name for setting in describe_settings() for name in setting.names]
    close = difflib.get_close_matches(name, known, 1)
    return f"{name} is not a setting{f'; did you mean {close[0]}?' if close else ''}"


def _provider(spec: ProviderVariables, values: Mapping[str, str]) -> ProviderOptions | None:
    def first(names: Sequence[str]) -> str | None:
        return next((values[name] for name in names if name in values), None)

    key, url, region = first(spec.key), first(spec.url), first(spec.region)
    if not _is_on(spec, values, key, url, region):
        return None
    if url is not None:
        try:
            url = _web_url(url)
        except ValueError as error:
            name = next(name for name in spec.url if name in values)
            raise SettingsProblem(f"{name} is {url!r}, but {error}") from None
        if spec.openai_path and not url.endswith("/v1"):
            url += "/v1"
    return ProviderOptions(
        name=values.get(spec.handle_base or "", spec.name),
        type=spec.type,
        base_url=url,
        api_key=key,
        api_version=values.get(spec.version, spec.default_version) if spec.version else None,
        region=region or spec.default_region,
        project=values.get(spec.project) if spec.project else None,
        access_key=values.get(spec.access_key) if spec.access_key else None,
    )


def _is_on(
    spec: ProviderVariables, values: Mapping[str, str], key: str | None, url: str | None, region: str | None
) -> bool:
    match spec.needs:
        case "key":
            return key is not None
        case "url":
            return url is not None
        case "either":
            return key is not None or url is not None
        case "all":
            wanted = [
                key if spec.key else "-",
                url if spec.url else "-",
                region or spec.default_region if spec.region else "-",
                values.get(spec.project) if spec.project else "-",
                values.get(spec.access_key) if spec.access_key else "-",
            ]
            return None not in wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingInfo:
    """One setting, for the reference page and for messages."""

    field: str
    names: tuple[str, ...]
    """Variables, ours first."""
    flag: str | None
    section: str
    default: str
    expects: str
    note: str
    secret: bool


def describe_settings() -> list[SettingInfo]:
    """Every setting, in the order of declaration."""
    return [_info(name, field) for name, field in Settings.model_fields.items() if field.json_schema_extra]


def _info(name: str, field: FieldInfo) -> SettingInfo:
    extra: Any = field.json_schema_extra
    default = field.default
    if isinstance(default, bool):
        shown = str(default).lower()
    else:
        shown = "" if default in (None, (), {}) else f"{default:g}" if isinstance(default, float) else str(default)
    return SettingInfo(
        field=name,
        names=tuple(extra["names"]),
        flag=extra["flag"],
        section=extra["section"],
        default=shown,
        expects=extra["expects"],
        note=field.description or "",
        secret=extra["secret"],
    )


def _sentences(
    error: ValidationError, given: Mapping[str, object], environment: Mapping[str, str], in_file: Mapping[str, str]
) -> list[str]:
    by_name = {name: setting for setting in describe_settings() for name in (setting.field, *setting.names)}
    lines: dict[str, str] = {}
    for problem in error.errors():
        setting = by_name[str(problem["loc"][0])]
        source, value = _origin(setting, given, environment, in_file)
        reason = f" ({problem['ctx']['error']})" if problem["type"] == "value_error" and "ctx" in problem else ""
        shown = "cannot be used" if setting.secret else f"is {value!r}"
        lines[setting.field] = f"{source} {shown}{reason}; give {setting.expects}"
    return list(lines.values())


def _origin(
    setting: SettingInfo, given: Mapping[str, object], environment: Mapping[str, str], in_file: Mapping[str, str]
) -> tuple[str, object]:
    """Where the value came from, as the user would name it, and the value."""
    if setting.field in given:
        return setting.flag or setting.names[0], given[setting.field]
    for variables, suffix in ((environment, ""), (in_file, " in the .env file")):
        for name in setting.names:
            if name in variables:
                return name + suffix, variables[name]
    return setting.names[0], None
