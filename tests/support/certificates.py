"""The certificates of this machine, read once for all HTTP clients of the test process."""

import importlib
from functools import cache
from typing import Any


def read_once() -> None:
    """Let every client share what each would read for itself, for 50 ms of processor time: most tests make one."""
    for library in ("httpx", "httpx2"):
        clients: Any = importlib.import_module(f"{library}._transports.default")
        clients.create_ssl_context = cache(clients.create_ssl_context)
