"""What a call lives in, seen from the server: what to kill, what to wait for, what to count."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol


def _has_handles() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return False
    return True


HAS_HANDLES: Final = _has_handles()
"""Whether the system names processes by handles that stay theirs: Linux since 5.3."""


class Life(Protocol):
    """Processes that live and die together."""

    @property
    def pid(self) -> int:
        """The one from which all others descend."""
        ...

    def kill(self) -> None:
        """Kill all of them; nothing happens where they are dead."""
        ...

    async def ended(self) -> int | None:
        """Wait until all of them are dead; the exit code, where it is known."""
        ...

    def close(self) -> None:
        """Let go of what this object holds."""
        ...


class Cell:
    """The first process of a process namespace: the kernel kills the others with it, before it counts as dead."""

    def __init__(self, pid: int, bury: Callable[[], Awaitable[int | None]]) -> None:
        """Take hold of it. Its parent keeps its number for it until `bury`, which gives the exit code.

        Raises:
            OSError: no process has that number.
        """
        self.pid = pid
        self._bury = bury
        self._handle = os.pidfd_open(pid) if HAS_HANDLES else None

    def kill(self) -> None:
        """See `Life`."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def ended(self) -> int | None:
        """See `Life`."""
        if self._handle is None:
            return None  # the ends of what it wrote to have to do
        await readable(self._handle)
        return await self._bury()

    def close(self) -> None:
        """See `Life`."""
        if self._handle is not None:
            os.close(self._handle)


class Family(Cell):
    """A process group without a sandbox."""

    def kill(self) -> None:
        """See `Life`."""
        kill_group(self.pid)


class Sandbox:
    """A whole sandbox with the zygote in it: bubblewrap, which takes along what runs inside."""

    def __init__(
        self, process: asyncio.subprocess.Process, control: socket.socket, bury: Callable[[], Awaitable[int | None]]
    ) -> None:
        self._process = process
        self._control = control
        self._bury = bury

    @property
    def pid(self) -> int:
        """See `Life`."""
        return self._process.pid

    def kill(self) -> None:
        """See `Life`."""
        if self._process.returncode is None:
            kill_group(self._process.pid)

    async def ended(self) -> int | None:
        """See `Life`."""
        code = await self._bury()  # which waits until the call's own process has ended
        self.kill()
        await self._process.wait()
        return code

    def close(self) -> None:
        """See `Life`."""
        self._control.close()


def kill_group(pid: int) -> None:
    """Kill the process group that `pid` leads."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


async def readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def memory_of(pid: int) -> int:
    """Bytes held by a process and all its descendants, pages they share counted once where the kernel tells."""
    total = 0
    waiting = [pid]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        try:
            waiting += [
                int(child) for task in (folder / "task").iterdir() for child in (task / "children").read_text().split()
            ]
            total += _resident(folder)
        except (OSError, ValueError):
            continue  # it just ended
    return total


def _resident(folder: Path) -> int:
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:
        lines = (folder / "status").read_text().splitlines()
    wanted = ("Pss:", "RssAnon:", "RssShmem:")
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(wanted))
