"""Settings of what agents may do and open: tools, addresses, files."""

from typing import Final

from pydantic_settings import BaseSettings

from reverie.config.fields import POSITIVE, SWITCH, Networks, ToolNetwork, WebUrl, setting

_TOOLS: Final = "Tools"
_WEB: Final = "Addresses that users name"
_FILES: Final = "Files"


class ToolSettings(BaseSettings):
    """What agents may do and open: tools, addresses, files."""

    tool_timeout_s: float = setting(
        180.0,
        "REVERIE_TOOL_TIMEOUT_S",
        "TOOL_SANDBOX_TIMEOUT",
        section=_TOOLS,
        expects=POSITIVE,
        note="Longest run of a custom tool, in seconds.",
        gt=0,
    )
    tool_memory_mb: int = setting(
        512,
        "REVERIE_TOOL_MEMORY_MB",
        section=_TOOLS,
        expects="a whole number of megabytes, 64 or more",
        note="Memory of one call of a custom tool.",
        ge=64,
    )
    tool_processes: int = setting(
        64,
        "REVERIE_TOOL_PROCESSES",
        section=_TOOLS,
        expects="a whole number greater than 0",
        note="Processes and threads that one call of a custom tool may have.",
        gt=0,
    )
    tool_environment_mb: int = setting(
        4096,
        "REVERIE_TOOL_ENVIRONMENT_MB",
        section=_TOOLS,
        expects="a whole number greater than 0",
        note="Largest folder of packages that one list of a tool's requirements may fill, in MiB.",
        gt=0,
    )
    tool_network: ToolNetwork = setting(
        "none",
        "REVERIE_TOOL_NETWORK",
        section=_TOOLS,
        expects="none, tagged or all",
        note="Which custom tools reach the network, through a proxy that refuses this machine and private networks: "
        "none, those with the tag `network`, or all. `true` means all, `false` none.",
    )
    tool_unsafe: bool = setting(
        False,
        "REVERIE_TOOL_UNSAFE",
        section=_TOOLS,
        expects=SWITCH,
        note="Run custom tools without a sandbox where bubblewrap cannot run: "
        "they can then read every file and key the server can. Only for code you wrote yourself.",
    )
    mcp_disable_stdio: bool | None = setting(
        None,
        "REVERIE_MCP_DISABLE_STDIO",
        "MCP_DISABLE_STDIO",
        section=_TOOLS,
        expects=SWITCH,
        note="Refuse MCP servers that are started as processes. "
        "Default: refused unless the server listens on loopback.",
    )
    mcp_connect_timeout_s: float = setting(
        30.0,
        "REVERIE_MCP_CONNECT_TIMEOUT_S",
        "MCP_CONNECT_TO_SERVER_TIMEOUT",
        section=_TOOLS,
        expects=POSITIVE,
        note="Longest wait for a connection to an MCP server, in seconds; for the start of one that is a process too.",
        gt=0,
    )
    mcp_list_timeout_s: float = setting(
        30.0,
        "REVERIE_MCP_LIST_TIMEOUT_S",
        "MCP_LIST_TOOLS_TIMEOUT",
        section=_TOOLS,
        expects=POSITIVE,
        note="Longest wait for an MCP server's list of tools, in seconds.",
        gt=0,
    )
    mcp_call_timeout_s: float = setting(
        60.0,
        "REVERIE_MCP_CALL_TIMEOUT_S",
        "MCP_EXECUTE_TOOL_TIMEOUT",
        section=_TOOLS,
        expects=POSITIVE,
        note="Longest call of an MCP server's tool, in seconds.",
        gt=0,
    )
    exa_api_key: str | None = setting(
        None,
        "REVERIE_EXA_API_KEY",
        "EXA_API_KEY",
        section=_TOOLS,
        expects="a key of Exa",
        secret=True,
        note="Lets the tool `web_search` ask Exa. An agent's own secret `EXA_API_KEY` comes first.",
    )
    exa_url: WebUrl = setting(
        "https://api.exa.ai",
        "REVERIE_EXA_URL",
        section=_TOOLS,
        expects="an address that starts with http:// or https://",
        note="Where Exa is asked.",
    )
    tavily_api_key: str | None = setting(
        None,
        "REVERIE_TAVILY_API_KEY",
        "TAVILY_API_KEY",
        section=_TOOLS,
        expects="a key of Tavily",
        secret=True,
        note="Lets the tool `web_search` ask Tavily, where there is no key of Exa. "
        "An agent's own secret `TAVILY_API_KEY` comes first.",
    )
    tavily_url: WebUrl = setting(
        "https://api.tavily.com",
        "REVERIE_TAVILY_URL",
        section=_TOOLS,
        expects="an address that starts with http:// or https://",
        note="Where Tavily is asked.",
    )
    searxng_url: WebUrl | None = setting(
        None,
        "REVERIE_SEARXNG_URL",
        section=_TOOLS,
        expects="an address that starts with http:// or https://",
        note="Lets the tool `web_search` ask a SearXNG server, where there is no key of Exa or Tavily; "
        "its format `json` must be on.",
    )
    allow_private_addresses: bool | None = setting(
        None,
        "REVERIE_ALLOW_PRIVATE_ADDRESSES",
        section=_WEB,
        expects=SWITCH,
        note="Open URLs of this machine and of private networks when a user names them: images, MCP servers, "
        "pages, callbacks. Default: only while the server listens on loopback. Link-local and metadata addresses "
        "stay closed.",
    )
    allowed_networks: Networks = setting(
        (),
        "REVERIE_ALLOWED_NETWORKS",
        section=_WEB,
        expects="addresses or ranges separated by commas, such as 10.1.2.3,192.168.7.0/24",
        note="Addresses and ranges that may be opened whatever else is said, separated by commas.",
    )
    file_max_bytes: int = setting(
        40_000_000,
        "REVERIE_FILE_MAX_BYTES",
        section=_FILES,
        expects="a whole number greater than 0",
        note="Largest file that is read; REVERIE_MAX_BODY_BYTES bounds uploads as well.",
        gt=0,
    )
    file_timeout_s: float = setting(
        120.0,
        "REVERIE_FILE_TIMEOUT_S",
        section=_FILES,
        expects=POSITIVE,
        note="Longest reading of one file by its parser, in seconds.",
        gt=0,
    )
    file_memory_mb: int = setting(
        1024,
        "REVERIE_FILE_MEMORY_MB",
        section=_FILES,
        expects="a whole number of megabytes, 256 or more",
        note="Memory of the process that reads one file.",
        ge=256,
    )
