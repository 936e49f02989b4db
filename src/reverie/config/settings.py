"""All settings together, and the options that rooms are given of them."""

import ipaddress
from urllib.parse import quote

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reverie.config.models import ModelSettings
from reverie.config.providers import providers_of
from reverie.config.runs import RunSettings
from reverie.config.server import ServerSettings
from reverie.config.tools import ToolSettings
from reverie.documents.base import DocumentOptions
from reverie.models.base import ModelOptions, ProviderOptions
from reverie.storage.database import DatabaseOptions
from reverie.tools.base import SandboxOptions
from reverie.tools.builtin.online import OnlineOptions
from reverie.tools.mcp import McpOptions
from reverie.web.addresses import WebOptions


class Settings(ToolSettings, ModelSettings, RunSettings, ServerSettings):
    """Everything that can be set from outside. Frozen; make it with `load_settings`.

    The last of the bases comes first on the page.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True, validate_default=False
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
        return DocumentOptions(
            timeout_s=self.file_timeout_s,
            memory_bytes=self.file_memory_mb * 1024 * 1024,
            data_dir=str(self.data_dir / "documents"),
        )

    def providers(self) -> tuple[ProviderOptions, ...]:
        """The providers whose variables are set; see `providers_of`."""
        return providers_of(self.provider_variables)

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
