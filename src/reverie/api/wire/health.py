"""The server's state on the wire. Source: `HealthResponse`, client SDK, read 2026-11."""

from typing_extensions import TypedDict


class Health(TypedDict):
    """The server's state."""

    version: str
    status: str
