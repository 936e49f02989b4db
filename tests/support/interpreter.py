"""Python or Node.js that runs one program after the other: starting it and loading the SDK is done once."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

_TIMEOUT_S: Final = 120.0
_END: Final = "\x00"
"""Ends what a program printed; no program prints it."""

_PYTHON: Final = r"""
import runpy, sys, traceback
for line in sys.stdin:
    word = "done"
    try:
        runpy.run_path(line.strip(), run_name="__main__")
    except BaseException:
        word = "failed"
        traceback.print_exc(file=sys.stdout)
    print(f"\0{word}", flush=True)
"""

_NODE: Final = r"""
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  let word = "done";
  try {
    await import(line.trim());
  } catch (error) {
    word = "failed";
    console.log(error);
  }
  console.log(`\0${word}`);
}
"""


class ProgramFailed(Exception):
    """A program raised; the text is what it printed, and the error."""


class Interpreter:
    """A process that runs the programs it is given, each as if it were started alone."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @classmethod
    def python(cls, folder: Path, environment: Mapping[str, str]) -> "Interpreter":
        return cls([sys.executable, "-c", _PYTHON], folder, environment)

    @classmethod
    def node(cls, node: str, packages: Path, folder: Path, environment: Mapping[str, str]) -> "Interpreter":
        """Runs TypeScript modules that lie in `folder`, which gets `packages` (a `node_modules`)."""
        (folder / "package.json").write_text('{"type": "module"}')
        (folder / "node_modules").symlink_to(packages)
        (folder / "run.mjs").write_text(_NODE)
        return cls([node, "--import", "tsx", "run.mjs"], folder, environment)

    def run(self, program: Path) -> str:
        """Return what it printed.

        Raises:
            ProgramFailed: it raised, or took too long.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(_TIMEOUT_S, self._process.kill)
        watchdog.start()
        try:
            print(program, file=self._process.stdin, flush=True)
            printed: list[str] = []
            for line in self._process.stdout:
                text, end, word = line.partition(_END)
                printed.append(text)
                if end:
                    break
            else:
                word = "the interpreter ended"
        finally:
            watchdog.cancel()
        if word.strip() != "done":
            raise ProgramFailed("".join(printed) + word)
        return "".join(printed)

    def __enter__(self) -> "Interpreter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
