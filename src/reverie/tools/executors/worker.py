"""One process that a zygote has forked: used for one call, gone afterwards."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final

from reverie.domain.content import TextPart
from reverie.domain.json import JsonObject, JsonValue
from reverie.tools.base import BlockEdit, ToolOutcome
from reverie.tools.executors.lives import Life, memory_of
from reverie.tools.executors.pictures import shown_parts

MEMORY_CHECK_S: Final = 0.25
_CHUNK: Final = 65536
_GRACE_S: Final = 5.0
_KEPT_OF_A_FLOOD: Final = 2000
"""Characters of stdout and stderr that a call killed for its output still shows."""


class Worker:
    """A process that waits for one request. Whoever has it calls `call` or `end`, once."""

    def __init__(self, life: Life, line: socket.socket, stdout: int, stderr: int) -> None:
        self._life = life
        self._line = line
        self._printed = stdout, stderr
        self._room = 0

    async def call(self, request: JsonObject, *, timeout_s: float, output_bytes: int, memory_bytes: int) -> ToolOutcome:
        """Run the request; whatever the tool started is dead when this returns or raises."""
        self._room = output_bytes
        outputs = (bytearray(), bytearray(), bytearray())
        everything = asyncio.gather(*self._exchange(request, outputs), self._life.ended())
        watch = asyncio.create_task(self._outgrows(memory_bytes))
        try:
            parts: set[asyncio.Future[Any]] = {everything, watch}
            done, _ = await asyncio.wait(parts, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            await self._finish(everything)
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
        return _read(answer, stdout, stderr, everything.result()[-1])

    async def end(self) -> None:
        """End a process that got no call."""
        await self._finish(asyncio.ensure_future(self._life.ended()))

    async def _finish(self, ending: asyncio.Future[Any]) -> None:
        self._life.kill()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await ending
        finally:
            self._life.close()
            self._line.close()
            for descriptor in self._printed:
                os.close(descriptor)

    def _exchange(self, request: JsonObject, outputs: tuple[bytearray, ...]) -> list[Coroutine[None, None, None]]:
        sources = (*self._printed, self._line.fileno())
        reading = [self._read(*pair) for pair in zip(sources, outputs, strict=True)]
        return [*reading, self._send(json.dumps(request).encode())]

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it died; its end of the line says so
            await asyncio.get_running_loop().sock_sendall(self._line, data)
            self._line.shutdown(socket.SHUT_WR)

    async def _read(self, descriptor: int, output: bytearray) -> None:
        """Read to the end, as far as there is room; kill the process when it has said all it has to say."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def take() -> None:
            try:
                chunk = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                loop.remove_reader(descriptor)  # before another file gets its number
                if not ended.done():
                    ended.set_result(None)
                return
            self._room -= len(chunk)
            if self._room < 0:
                self._life.kill()  # and read on to the end: a pipe left full would never be seen to close
            else:
                output.extend(chunk)
                if descriptor == self._line.fileno() and chunk.endswith(b"\n"):
                    # To let its cell fold up by itself would take longer than most calls.
                    self._life.kill()

        loop.add_reader(descriptor, take)
        try:
            await ended
        finally:
            loop.remove_reader(descriptor)

    async def _outgrows(self, memory_bytes: int) -> None:
        """Return when the processes together hold more than `memory_bytes`; each alone is held by its limits."""
        while True:
            await asyncio.sleep(MEMORY_CHECK_S)
            if memory_of(self._life.pid) > memory_bytes:
                return


def _read(answer: bytes, stdout: bytes, stderr: bytes, code: int | None) -> ToolOutcome:
    """Make an outcome of what came back. The answer is the tool's word: it may be anything."""
    try:
        parsed = json.loads(answer)
        if parsed["ok"] is True:
            value = parsed["value"]
            outcome = _outcome(ok=True, text=str(parsed["text"]), value=value, stdout=stdout, stderr=stderr)
            outcome = replace(outcome, edits=tuple(_edit(*edit) for edit in parsed.get("edits", ())))
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


def _edit(label: str, before: str, after: str) -> BlockEdit:
    return BlockEdit(label=_storable(str(label)), before=str(before), after=_storable(str(after)))


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
