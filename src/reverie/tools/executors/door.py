"""The sandboxes' way back to the server's API: a socket in a folder that each of them sees, and nothing else does.

A sandbox has no network, but a path to a socket crosses that border. Whoever comes through the
door needs the key of a running call.
"""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Final

API: Final = "api.sock"
PROXY: Final = "proxy.sock"
_LONGEST: Final = 100
"""Bytes of a socket's path; systems stop at 104 or 108."""


class Door:
    """A folder of its own for the socket, made at the start and removed at the end."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._folder: Path | None = None

    @property
    def folder(self) -> Path | None:
        """What sandboxes are shown; None where there is no such door."""
        return self._folder

    @property
    def proxy(self) -> Path | None:
        """Where a proxy for sandboxes is expected to listen."""
        return None if self._folder is None else self._folder / PROXY

    def listen(self) -> socket.socket | None:
        """Open the door; None on systems without such sockets. Call it once; `close` when the server has ended."""
        if sys.platform == "win32":
            return None
        self._folder = _make_folder(self._data_dir)
        path = self._folder / API
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o666)  # the sandbox's user is not ours
        listener.listen(256)
        listener.setblocking(False)
        return listener

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _make_folder(data_dir: Path) -> Path:
    top = data_dir.resolve() / "sandbox"
    name = f"door-{os.getpid()}"
    if len(os.fsencode(top / name / API)) > _LONGEST:
        top = Path(tempfile.gettempdir()) / f"reverie-{os.getuid()}"
    top.mkdir(parents=True, exist_ok=True)
    for left in top.glob("door-*"):
        if not _is_alive(left.name.removeprefix("door-")):  # a server that was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = top / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    return folder


def _is_alive(pid: str) -> bool:
    with contextlib.suppress(ValueError, ProcessLookupError):
        try:
            os.kill(int(pid), 0)
        except PermissionError:
            return True
        return True
    return False
