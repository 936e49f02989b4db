"""The certificates of this machine, read once for all HTTP clients of the test process."""

import importlib
import ssl
from functools import cache
from typing import Any


def read_once() -> None:
    """Let every client share what each would read for itself, for 50 ms of processor time: most tests make one."""
    clients: Any = importlib.import_module("httpx._transports.default")
    read = clients.create_ssl_context

    @cache
    def shared(**asked: Any) -> ssl.SSLContext:
        context: ssl.SSLContext = read(**asked)
        return context

    clients.create_ssl_context = shared
