"""One sandboxed process: started ahead of need, used for one call, gone afterwards."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from reverie.domain.content import TextPart
from reverie.domain.json import JsonObject, JsonValue
from reverie.tools.base import ToolOutcome
from reverie.tools.executors.launch import Launch
from reverie.tools.executors.pictures import shown_parts

MEMORY_CHECK_S: Final = 0.25
_CHUNK: Final = 65536
_GRACE_S: Final = 5.0
_KEPT_OF_A_FLOOD: Final = 2000
"""Characters of stdout and stderr that a call killed for its output still shows."""


class Worker:
    """A process that waits for one request. Whoever takes it calls `call`, `complaint` or `end`, once."""

    def __init__(
        self, process: asyncio.subprocess.Process, answer: asyncio.StreamReader, line: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._answer = answer
        self._line = line
        self._room = 0

    @classmethod
    async def start(cls, launch: Launch) -> Self:
        """Start a process.

        Raises:
            OSError: the system has no room for one.
        """
        # A start cut short would leave half a sandbox that nothing yet ties to this process.
        starting = asyncio.create_task(cls._start(launch))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await (await starting).end()
            raise

    @classmethod
    async def _start(cls, launch: Launch) -> Self:
        # A pair of sockets and no pipe: of a pipe that it is given, uvloop closes the descriptor twice, the second
        # time when the number may be another thread's already.
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.argv,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
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
        return cls(process, *await asyncio.open_connection(sock=ours))

    @property
    def alive(self) -> bool:
        """Whether it still waits."""
        return self._process.returncode is None

    async def call(self, request: JsonObject, *, timeout_s: float, output_bytes: int, memory_bytes: int) -> ToolOutcome:
        """Run the request; whatever the tool started is dead when this returns or raises."""
        self._room = output_bytes
        outputs = (bytearray(), bytearray(), bytearray())
        everything = asyncio.gather(*self._exchange(request, outputs), self._process.wait())
        watch = asyncio.create_task(self._outgrows(memory_bytes))
        try:
            parts: set[asyncio.Future[Any]] = {everything, watch}
            done, _ = await asyncio.wait(parts, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            self._kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await everything
            self._close()
        stdout, stderr, answer = (bytes(output) for output in outputs)
        if self._room < 0:
            problem: str | None = f"it wrote more than {output_bytes} bytes of output"
            stdout, stderr = stdout[:_KEPT_OF_A_FLOOD], stderr[:_KEPT_OF_A_FLOOD]
        elif everything in done:
            problem = None
        elif watch in done:
            problem = f"it used more than {memory_bytes // 2**20} MiB of memory"
        else:
            problem = f"it ran longer than {timeout_s:g} s"
        if problem is not None:
            return _outcome(
                ok=False, text=f"The tool was stopped: {problem}.", value=None, stdout=stdout, stderr=stderr
            )
        return _read(answer, stdout, stderr, self._process.returncode)

    async def complaint(self) -> str | None:
        """End it with no request; return what it complained of if it did not come up well."""
        try:
            async with asyncio.timeout(_GRACE_S * 4):
                _, stderr = await self._process.communicate(b"")
        except TimeoutError:
            return "it did not come up in time"
        finally:
            await self.end()
        return None if self._process.returncode == 0 else stderr.decode("utf-8", "replace") or "it failed"

    async def end(self) -> None:
        """End a process that got no call."""
        self._kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await self._process.wait()
        self._close()

    def _kill(self) -> None:
        """Kill it and everything in its sandbox.

        It leads a process group: bubblewrap, which takes the sandbox along, or an unsafe tool's family.
        """
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _close(self) -> None:
        self._line.close()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _exchange(self, request: JsonObject, outputs: tuple[bytearray, ...]) -> list[Coroutine[None, None, None]]:
        process = self._process
        assert process.stdin and process.stdout and process.stderr  # all three were asked for
        printed = [self._read(*pair) for pair in zip((process.stdout, process.stderr), outputs, strict=False)]
        return [*printed, self._read_answer(outputs[2]), self._send(process.stdin, json.dumps(request).encode())]

    async def _send(self, stdin: asyncio.StreamWriter, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # it died; its end of the pipes says so
            stdin.write(data)
            await stdin.drain()
            stdin.close()
            await stdin.wait_closed()

    async def _read_answer(self, output: bytearray) -> None:
        await self._read(self._answer, output)
        if output:
            # It has said all it has to say; to let its sandbox fold up by itself would double the time of most calls.
            self._kill()

    async def _read(self, reader: asyncio.StreamReader, output: bytearray) -> None:
        while chunk := await reader.read(_CHUNK):
            self._room -= len(chunk)
            if self._room < 0:
                self._kill()  # and read on to the end: a pipe left full would never be seen to close
            else:
                output += chunk

    async def _outgrows(self, memory_bytes: int) -> None:
        """Return when the processes together hold more than `memory_bytes`; each alone is held by its limits."""
        while True:
            await asyncio.sleep(MEMORY_CHECK_S)
            if _memory_of(self._process.pid) > memory_bytes:
                return


def _memory_of(pid: int) -> int:
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


def _read(answer: bytes, stdout: bytes, stderr: bytes, code: int | None) -> ToolOutcome:
    """Make an outcome of what came back. The answer is the tool's word: it may be anything."""
    try:
        parsed = json.loads(answer)
        if parsed["ok"] is True:
            value = parsed["value"]
            outcome = _outcome(ok=True, text=str(parsed["text"]), value=value, stdout=stdout, stderr=stderr)
            parts = shown_parts(outcome.value)
            # Pictures are in the content already; no rule looks at one.
            return outcome if parts is None else replace(outcome, content=parts, value=None)
        text = str(parsed["error"])
        if trace := str(parsed.get("trace", "")):
            # Where it went wrong is for the model, and where programs look for it, like one that Python printed.
            text, stderr = f"{text}\n{trace}", stderr + trace.encode("utf-8", "replace") + b"\n"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = f"The tool's process ended with code {code} before it returned a value."
        if code is not None and code > 128:
            text += f" It was killed by {_signal_name(code - 128)}; a memory or time limit may have been reached."
    return _outcome(ok=False, text=text, value=None, stdout=stdout, stderr=stderr)


def _outcome(*, ok: bool, text: str, value: JsonValue, stdout: bytes, stderr: bytes) -> ToolOutcome:
    return ToolOutcome(
        status="success" if ok else "error",
        content=(TextPart(text=_storable(text)),),
        stdout=_lines(stdout),
        stderr=_lines(stderr),
        value=_storable(value),
    )


def _lines(output: bytes) -> tuple[str, ...]:
    text = _storable(output.decode("utf-8", "replace"))
    return (text,) if text else ()


def _storable(value: JsonValue) -> JsonValue:
    """`value` without what no database and no wire can carry: NUL, lone surrogates, numbers that are none."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, float) and value not in (float("inf"), float("-inf")) and value == value:
        return value
    if isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**63):
        return str(value)
    return value


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
