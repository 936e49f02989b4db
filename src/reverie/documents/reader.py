"""Reads documents in a process of their own."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

from reverie.documents.base import DocumentOptions, ReadDocument, Unreadable
from reverie.documents.media import form_of

_CHILD: Final = Path(__file__).with_name("child.py")
_MEMORY_SIGNS: Final = ("memory", "alloc")


class SubprocessReader:
    """Implements `DocumentReader`: one process for each document, which may crash or hang."""

    def __init__(self, options: DocumentOptions) -> None:
        self._options = options

    async def read(self, data: bytes, media_type: str, chunk_tokens: int) -> ReadDocument:
        """See `DocumentReader.read`."""
        order = {
            "form": form_of(media_type),
            "media_type": media_type,
            "chunk_tokens": chunk_tokens,
            "max_chars": self._options.max_text_chars,
            "memory_bytes": self._options.memory_bytes,
            "path": sys.path,
            "cpu_s": int(self._options.timeout_s) + 1,
        }
        code, answer, complaint = await self._run(json.dumps(order).encode() + b"\n" + data)
        try:
            found = json.loads(answer)
        except ValueError:
            raise Unreadable(_why(code, complaint)) from None
        if "error" in found:
            raise Unreadable(found["error"])
        return ReadDocument(text=found["text"], chunks=tuple((line, text) for line, text in found["chunks"]))

    async def _run(self, given: bytes) -> tuple[int, bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",  # looking for packages takes most of a start; the order says where they are
            "-B",
            str(_CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        try:
            answer, complaint = await asyncio.wait_for(process.communicate(given), self._options.timeout_s)
        except TimeoutError:
            raise Unreadable(
                f"reading it took longer than {self._options.timeout_s:g} s; split it, or raise REVERIE_FILE_TIMEOUT_S"
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return process.returncode or 0, answer, complaint


def _why(code: int, complaint: bytes) -> str:
    """What a child that gave no answer died of."""
    said = complaint.decode(errors="replace").lower()
    if any(sign in said for sign in _MEMORY_SIGNS) or code == -signal.SIGKILL:
        return "reading it took more memory than REVERIE_FILE_MEMORY_MB allows; split it, or raise that setting"
    if code == -signal.SIGXCPU:
        return "reading it took too long; split it, or raise REVERIE_FILE_TIMEOUT_S"
    if code < 0:
        return f"its parser crashed ({signal.Signals(-code).name}); the file is damaged, or unlike others of its kind"
    return "its parser failed; the file is damaged, or unlike others of its kind"
