"""The server's hold on a zygote: a Python in the sandbox that forks a process for each call (`inside/zygote.py`)."""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Sequence
from functools import partial
from typing import Final, Self

from reverie.tools.executors.launch import Launch
from reverie.tools.executors.lives import Cell, Family, Life, Sandbox, kill_group, readable
from reverie.tools.executors.worker import Worker

_START_S: Final = 20.0
_FORK_S: Final = 60.0
"""Longest wait for a fork, with the libraries that are read before it."""
_GRACE_S: Final = 5.0
_CREDENTIAL: Final = struct.Struct("3i")


class SandboxRefused(OSError):
    """The sandbox did not come up; the text is what it complained of."""


class Zygote:
    """One running zygote. Calls are forked one after the other and run side by side."""

    def __init__(self, launch: Launch, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._launch = launch
        self._process = process
        self._control = control
        self._asking = asyncio.Lock()

    @classmethod
    async def start(cls, launch: Launch) -> Self:
        """Start one and wait until it can fork.

        Raises:
            SandboxRefused: it did not come up.
            OSError: the system has no room for a process.
        """
        # A start cut short would leave half a sandbox that nothing yet ties to this process.
        starting = asyncio.create_task(cls._start(launch))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                await (await starting).end()
            raise

    @classmethod
    async def _start(cls, launch: Launch) -> Self:
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            if launch.isolation == "cells":
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            process = await asyncio.create_subprocess_exec(
                *launch.argv,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env={} if not launch.sandboxed else {"PATH": os.defpath},
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        zygote = cls(launch, process, ours)
        complaint = await zygote._greeting()
        if complaint is None:
            return zygote
        await zygote.end()
        raise SandboxRefused(complaint)

    @property
    def alive(self) -> bool:
        """Whether it can still fork, as far as is known."""
        return self._process.returncode is None

    async def fork(self, wanted: Sequence[str] = ()) -> Worker:
        """A process for one call, which finds the modules `wanted` read.

        Raises:
            OSError: the system has no room for a process, or the zygote is dead.
        """
        forking = asyncio.create_task(self._fork(wanted))
        try:
            return await asyncio.shield(forking)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                await (await forking).end()
            raise

    async def end(self) -> None:
        """End it, and every call that it has forked and that still runs."""
        if self.alive:
            kill_group(self._process.pid)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await self._process.wait()
        self._control.close()

    async def _fork(self, wanted: Sequence[str]) -> Worker:
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            line, far_line = socket.socketpair()
            ours.callback(line.close)
            theirs.callback(far_line.close)
            line.setblocking(False)
            printed: list[int] = []
            far = [far_line.fileno()]
            for _ in ("stdout", "stderr"):
                reading, writing = os.pipe()
                ours.callback(os.close, reading)
                theirs.callback(os.close, writing)
                os.set_blocking(reading, False)
                printed.append(reading)
                far.append(writing)
            life = await self._ask(wanted, far)
            ours.pop_all()
            return Worker(life, line, printed[0], printed[1])

    async def _ask(self, wanted: Sequence[str], descriptors: Sequence[int]) -> Life:
        async with self._asking:
            data, known_as = b"", 0
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_FORK_S):
                    socket.send_fds(self._control, [json.dumps({"fork": wanted}).encode()], descriptors)
                    data, known_as = await self._reply()
            reply = json.loads(data or b"{}")
            if "problem" in reply:
                raise OSError(reply["problem"])
            if "pid" not in reply:
                await self.end()
                raise SandboxRefused("it has ended")
            call = int(reply["pid"])
            match self._launch.isolation:
                case "cells":
                    return Cell(known_as, partial(self._bury, call))
                case "none":
                    return Family(call, partial(self._bury, call))
                case "whole":
                    return Sandbox(self._process, self._control, partial(self._bury, call))

    async def _bury(self, call: int) -> int | None:
        """How a call ended, whose number may be another's from then on; None where the zygote ended too."""
        async with self._asking:
            try:
                self._control.send(json.dumps({"bury": call}).encode())
                data, _ = await self._reply()
            except OSError:
                return None
        return int(json.loads(data)["code"]) if data else None

    async def _reply(self) -> tuple[bytes, int]:
        """What it says next, empty at its end, and the process that it names, as this side knows it."""
        await readable(self._control.fileno())
        try:
            data, ancillary, _, _ = self._control.recvmsg(65536, socket.CMSG_SPACE(_CREDENTIAL.size))
        except ConnectionError:
            return b"", 0
        pid = int(_CREDENTIAL.unpack(ancillary[0][2])[0]) if ancillary else 0
        return data, pid

    async def _greeting(self) -> str | None:
        """Wait until it says that it has come up; what it complains of otherwise."""
        try:
            async with asyncio.timeout(_START_S):
                if (await self._reply())[0]:
                    return None
                _, stderr = await self._process.communicate()
        except TimeoutError:
            return "it did not come up in time"
        return stderr.decode("utf-8", "replace") or "it failed"


class Nursery:
    """At most one zygote, started when it is first needed and again when it has died."""

    def __init__(self) -> None:
        self._zygote: Zygote | None = None
        self._starting = asyncio.Lock()

    async def worker(self, candidate: Launch, modules: Sequence[str]) -> Worker:
        """A process for one call.

        Raises:
            OSError: the system has no room for one.
        """
        for _ in range(2):
            zygote = await self.zygote(candidate)
            if candidate.isolation == "whole":
                self._zygote = None  # which serves one call alone
            try:
                return await zygote.fork(modules)
            except SandboxRefused:  # it had died since the last call
                continue
            except OSError:
                if candidate.isolation == "whole":
                    await zygote.end()
                raise
        raise SandboxRefused("it dies as soon as it has started")

    async def zygote(self, candidate: Launch) -> Zygote:
        """The living one.

        Raises:
            OSError: none can be started.
        """
        async with self._starting:
            if self._zygote is None or not self._zygote.alive:
                self._zygote = await Zygote.start(candidate)
            return self._zygote

    async def aclose(self) -> None:
        """End it."""
        async with self._starting:
            if self._zygote is not None:
                await self._zygote.end()
