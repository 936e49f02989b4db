"""What is sent to a provider, for those who keep it: the body as it goes out, and nothing else.

Headers, where keys are, never come here.
"""

from contextvars import ContextVar
from typing import Final

_sent: Final[ContextVar[list[bytes] | None]] = ContextVar("sent", default=None)


def listen() -> list[bytes]:
    """A list to which every body that this task sends from now on is added, the last attempt last."""
    bodies: list[bytes] = []
    _sent.set(bodies)
    return bodies


def note(body: bytes | bytearray | None) -> None:
    """An adapter sends `body`."""
    if (bodies := _sent.get()) is not None and body:
        bodies.append(bytes(body))
