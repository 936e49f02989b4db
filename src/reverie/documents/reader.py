"""Reads documents in a process of their own."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypedDict

from reverie.documents.base import DocumentOptions, Enclosure, Form, ReadDocument, Unreadable
from reverie.documents.library import SMALL_PDF, Library
from reverie.documents.media import form_of

_CHILD: Final = Path(__file__).with_name("child.py")
_PACKAGE_FOLDERS: Final = ("site-packages", "dist-packages")
_SCRIPT: Final = "/reader.py"
_PACKAGES: Final = "/packages"
_LIBRARY: Final = "/library"
"""Where an enclosed process sees its own file, the packages, and what its parser unpacked."""
_UNPACKED: Final = 256 * 1024 * 1024
"""Most that the parser may unpack."""
_MEMORY_SIGNS: Final = ("memory", "alloc")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """How a process is started."""

    argv: Sequence[str]
    packages: Sequence[str]
    """The folders of packages, as it sees them."""
    library: str
    """Likewise the folder of what its parser unpacked."""
    enclosed: bool


def _bare(packages: Sequence[str], library: Path | None) -> _Start:
    # Without -S, looking for packages would take most of a start; the order says where they are.
    argv = (sys.executable, "-I", "-S", "-B", str(_CHILD))
    return _Start(argv=argv, packages=packages, library=str(library or "/"), enclosed=False)


def _package_folders() -> list[str]:
    return [path for path in sys.path if Path(path).name in _PACKAGE_FOLDERS and Path(path).is_dir()]


class _Order(TypedDict):
    """What one process is told, besides the limits of all."""

    form: Form
    media_type: str
    chunk_tokens: int
    file_bytes: int
    """How large a file it may write."""


class SubprocessReader:
    """Implements `DocumentReader`: one process for each document, which may crash or hang, shut in where that works."""

    def __init__(self, options: DocumentOptions, enclosure: Enclosure | None = None) -> None:
        self._options = options
        self._enclosure = enclosure
        self._library = Library(options.data_dir)

    async def read(self, data: bytes, media_type: str, chunk_tokens: int) -> ReadDocument:
        """See `DocumentReader.read`."""
        form = form_of(media_type)
        library = await self._library.prepared(self._unpack) if form == "pdf" else None
        order: _Order = {"form": form, "media_type": media_type, "chunk_tokens": chunk_tokens, "file_bytes": 0}
        found = await self._ask(await self._start(library), order, data)
        return ReadDocument(text=found["text"], chunks=tuple((line, text) for line, text in found["chunks"]))

    async def _unpack(self, folder: Path) -> None:
        """Let the parser unpack into `folder`, at the sight of a file of ours: other files may let it write nothing."""
        order: _Order = {"form": "pdf", "media_type": "application/pdf", "chunk_tokens": 300, "file_bytes": _UNPACKED}
        await self._ask(_bare(_package_folders(), folder), order, SMALL_PDF)

    async def _ask(self, start: _Start, order: _Order, data: bytes) -> dict[str, Any]:
        """What a process says of a document.

        Raises:
            Unreadable: it says that it cannot read it, or died of it.
        """
        whole = order | {
            "max_chars": self._options.max_text_chars,
            "memory_bytes": self._options.memory_bytes,
            "packages": start.packages,
            "library": start.library,
            "cpu_s": int(self._options.timeout_s) + 1,
        }
        code, answer, complaint = await self._run(start, json.dumps(whole).encode() + b"\n" + data)
        try:
            found: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise Unreadable(_why(code, complaint)) from None
        if "error" in found:
            raise Unreadable(found["error"])
        return found

    async def _start(self, library: Path | None) -> _Start:
        packages = _package_folders()
        if self._enclosure is None:
            return _bare(packages, library)
        places = {f"{_PACKAGES}/{number}": origin for number, origin in enumerate(packages)}
        shown = {_SCRIPT: str(_CHILD), **places} | ({_LIBRARY: str(library)} if library else {})
        command = await self._enclosure.enclosed(shown)
        if command is None:
            return _bare(packages, library)
        return _Start(argv=(*command, _SCRIPT), packages=[*places], library=_LIBRARY, enclosed=True)

    async def _run(self, start: _Start, given: bytes) -> tuple[int, bytes, bytes]:
        # A start cut short would leave half a sandbox behind, which nothing ties to this process yet.
        starting = asyncio.create_task(_process(start))
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _end(await starting)
            raise
        try:
            answer, complaint = await asyncio.wait_for(process.communicate(given), self._options.timeout_s)
        except TimeoutError:
            raise Unreadable(
                f"reading it took longer than {self._options.timeout_s:g} s; split it, or raise REVERIE_FILE_TIMEOUT_S"
            ) from None
        finally:
            await _end(process)
        code = process.returncode or 0
        # What shut it in says by which signal it ended as a shell does.
        return (128 - code if start.enclosed and code > 128 else code), answer, complaint


async def _process(start: _Start) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *start.argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath} if start.enclosed else {"LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it and all it started, if it still runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


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
