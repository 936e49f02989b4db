"""Reads one document and says what it found. Runs as a script, in a process of its own.

Standard library only at the top; `kreuzberg` and `semchunk` are loaded when they are needed, after
the limits are set. Takes a line of JSON and then the document on stdin, answers JSON on stdout.
"""

import codecs
import importlib
import json
import os
import re
import sys
from bisect import bisect_right
from typing import Any, Final

CHARS_PER_TOKEN: Final = 4
"""No vocabulary is at hand; models of all kinds come near this in prose."""
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LINE_ENDS: Final = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_BLANK_LINES: Final = re.compile(r"\n{4,}")


class Unreadable(Exception):
    """The document gives no text; the message says why."""


def main() -> None:
    """Read, answer, and leave without waiting for threads of a parser."""
    order = json.loads(sys.stdin.buffer.readline())
    sys.path += order["packages"]
    os.environ["TMPDIR"] = order["library"]
    _limit(order)
    try:
        answer: dict[str, Any] = _read(order, sys.stdin.buffer.read())
    except Unreadable as error:
        answer = {"error": str(error)}
    except MemoryError:
        sys.stderr.write("out of memory")
        os._exit(1)
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)


def _limit(order: dict[str, Any]) -> None:
    try:
        limits = importlib.import_module("resource")
    except ImportError:  # not on Windows; the time limit of the parent holds there too
        return
    kinds = {"RLIMIT_AS": "memory_bytes", "RLIMIT_CPU": "cpu_s", "RLIMIT_FSIZE": "file_bytes"}
    for name, value in kinds.items():
        limits.setrlimit(getattr(limits, name), (order[value], order[value]))
    limits.setrlimit(limits.RLIMIT_CORE, (0, 0))


def _read(order: dict[str, Any], data: bytes) -> dict[str, Any]:
    form = order["form"]
    raw = _decode(data) if form == "text" else _parse(form, order["media_type"], data)
    text = _tidy(raw)
    if form != "text":
        text = _BLANK_LINES.sub("\n\n\n", text).strip("\n")
    if not text.strip():
        why = "; pages that are pictures of text are not read" if form in ("pdf", "pptx", "docx") else ""
        raise Unreadable(f"it holds no text{why}")
    if len(text) > order["max_chars"]:
        raise Unreadable(f"it holds {len(text)} characters and at most {order['max_chars']} are read; split it")
    return {"text": text, "chunks": _split(text, order["chunk_tokens"])}


def _decode(data: bytes) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise Unreadable(f"it says that it is {encoding} and is not ({error.reason})") from error
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise Unreadable("it is no text file: it holds binary data")
    return text


def _parse(form: str, media_type: str, data: bytes) -> str:
    parser = importlib.import_module("kreuzberg")
    config = parser.ExtractionConfig(
        use_cache=False,
        # Markdown keeps headings and tables, but of PDF pages it makes up structure and joins lines.
        output_format="plain" if form == "pdf" else "markdown",
        # By default what looks like a page header is left out, and the first line of a short page does.
        content_filter=parser.ContentFilterConfig(
            include_headers=True, include_footers=True, strip_repeating_text=False, include_watermarks=True
        ),
        concurrency=parser.ConcurrencyConfig(max_threads=1),
    )
    try:
        return str(parser.extract_bytes_sync(data, media_type, config).content)
    except (parser.KreuzbergError, RuntimeError, ValueError, OSError) as error:
        said = str(error)
        if "password" in said.lower() or "encrypt" in said.lower() or _is_ole(form, data):
            raise Unreadable("it is encrypted; remove its password and upload it again") from error
        raise Unreadable(f"it is damaged, or no {form.upper()} file: {said.split(': ', 1)[-1][:200]}") from error


def _is_ole(form: str, data: bytes) -> bool:
    """Office keeps an encrypted document in the container of its old formats."""
    return form in ("docx", "pptx") and data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")


def _tidy(text: str) -> str:
    """One kind of line end, and nothing that a database or JSON cannot hold."""
    text = _LINE_ENDS.sub("\n", text.replace("\0", ""))
    return text.encode("utf-8", "replace").decode()


def _split(text: str, chunk_tokens: int) -> list[tuple[int, str]]:
    if _tokens(text) <= chunk_tokens:
        return [(len(text[: len(text) - len(text.lstrip())].split("\n")), text.strip())]
    chunker = importlib.import_module("semchunk").chunkerify(_tokens, chunk_tokens)
    chunks, offsets = chunker(text, offsets=True)
    breaks = [match.start() for match in re.finditer("\n", text)]
    return [
        (bisect_right(breaks, start - 1) + 1, chunk)
        for chunk, (start, _) in zip(chunks, offsets, strict=True)
        if chunk.strip()
    ]


def _tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


if __name__ == "__main__":
    main()
