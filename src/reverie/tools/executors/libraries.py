"""Which libraries a zygote reads before it forks, so that no call pays for reading them.

Only what comes with Python or is among the packages of all tools, and only what a tool seems to use: each
library read makes every fork a little dearer. Nothing that a tool brings is ever read there.
"""

import re
from typing import Final

from reverie.tools.base import ToolRun

_STANDARD: Final = {
    name: name
    for name in (
        *("asyncio", "base64", "csv", "datetime", "decimal", "email", "fractions", "hashlib", "hmac", "html"),
        *("logging", "random", "secrets", "socket", "sqlite3", "ssl", "statistics", "string", "subprocess"),
        *("tempfile", "textwrap", "threading", "urllib", "uuid", "zipfile", "zoneinfo"),
    )
} | {"async": "asyncio", "urllib": "urllib.request", "http": "http.client", "xml": "xml.etree.ElementTree"}
_INSTALLED: Final = {
    "pydantic": ("pydantic",),
    "dataclass": ("pydantic",),
    "TypedDict": ("pydantic",),
    "NamedTuple": ("pydantic",),
    "httpx": ("httpx", "httpcore"),
    # The last of these it reads itself when they are first used.
    "letta_client": ("httpx", "httpcore", "pydantic", "letta_client.resources"),
}
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


def standard(call: ToolRun) -> list[str]:
    """Modules of Python that the call's source names, sorted."""
    words = _words(call)
    return sorted({module for word, module in _STANDARD.items() if word in words})


def installed(call: ToolRun, *, has_client: bool) -> list[str]:
    """Modules of installed packages that the call needs, sorted; `has_client`: there is a ready `client` for it."""
    words = _words(call)
    if (call.tool.args_json_schema or {}).get("$defs"):
        words.add("pydantic")
    if has_client and "client" in words:
        words.add("letta_client")
    return sorted({module for word, modules in _INSTALLED.items() if word in words for module in modules})


def _words(call: ToolRun) -> set[str]:
    return set(_WORD.findall(call.tool.source_code or ""))
