"""Calls that a model writes into its words, where its server does not read them out of there.

Source: chat templates of Hermes and Qwen models (`<tool_call>` around an object) and of Llama 3 (an object alone),
as vLLM without a tool parser and Ollama with a small model hand them on, read 2026-11.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

_OPEN_TAG: Final = "<tool_call>"
_CLOSE_TAG: Final = "</tool_call>"
_BARE: Final = '{"name":'


class WrittenCall(NamedTuple):
    """A call found among words."""

    name: str
    arguments: str
    """A JSON object."""


@dataclass(slots=True)
class WrittenCalls:
    """Parts words from calls of `tools`, piece by piece. What only looks like a call stays words."""

    tools: Collection[str]
    _held: str = ""
    _begun: bool = False
    """Something was let through."""
    _fresh: bool = True
    """Nothing was, or a call was the last of it: blank space is no words yet."""

    def feed(self, text: str) -> list[str | WrittenCall]:
        """What is certain with `text`; the rest is held until it is."""
        found: list[str | WrittenCall] = []
        self._held += text
        while self._held and not self._is_bare():
            before, tag, inside = self._held.partition(_OPEN_TAG)
            if not tag:
                certain = before[: len(before) - _overlap(before, _OPEN_TAG)]
                if certain.strip() or not self._fresh:
                    self._say(certain, found)
                    self._held = before[len(certain) :]
                break
            body, closing, rest = inside.partition(_CLOSE_TAG)
            self._say(before if before.strip() or not self._fresh else "", found)
            if not closing:
                self._held = tag + inside
                break
            call = self._call(body)
            self._held = rest
            self._say(tag + body + closing if call is None else call, found)
        return found

    def end(self) -> list[str | WrittenCall]:
        """What is left; models forget the closing tag."""
        held, self._held = self._held, ""
        call = self._call(held.strip().removeprefix(_OPEN_TAG))
        if call is not None:
            return [call]
        return [held] if held.strip() or (held and not self._begun) else []

    def _is_bare(self) -> bool:
        """Whether the whole reply may still be one object that names a tool."""
        head = "".join(self._held[:40].split())
        return not self._begun and bool(head) and (head.startswith(_BARE) or _BARE.startswith(head))

    def _say(self, item: str | WrittenCall, found: list[str | WrittenCall]) -> None:
        if item:
            self._begun = True
            self._fresh = isinstance(item, WrittenCall)
            found.append(item)

    def _call(self, text: str) -> WrittenCall | None:
        try:
            said = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(said, dict) or said.get("name") not in self.tools:
            return None
        arguments = said.get("arguments", said.get("parameters"))
        return WrittenCall(said["name"], orjson.dumps(arguments).decode()) if isinstance(arguments, dict) else None


def _overlap(text: str, tag: str) -> int:
    """How much of the end of `text` may be the beginning of `tag`."""
    return next((n for n in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:n])), 0)
