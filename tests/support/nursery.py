"""Server processes forked from one that has read their code: a start costs a tenth of the processor time it else does.

Hundreds are started in a test session. The process is whole (its own pid, signals, log and end) and runs the same
command; what it has not done is to read the interpreter's and our modules again. Whoever tests that starts it cold.
"""

import atexit
import importlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
READ_AHEAD = ("reverie.cli.main", "reverie.cli.serve", "reverie.wiring", "reverie.storage.sqlite", "uvloop")


class Child:
    """A process of the nursery, used like one of `subprocess`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def end(self, code: int) -> None:
        """Note its exit code."""
        self.returncode = code
        self._ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The test process's end of it."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._one_at_a_time = threading.Lock()
        self._born: queue.Queue[Child] = queue.Queue()
        self._living: dict[int, Child] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        atexit.register(self._close)

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
        """Start `reverie` with these arguments and nothing but this environment; what it says goes into `log`."""
        order = {"arguments": arguments, "environment": environment, "log": str(log), "folder": str(Path.cwd())}
        with self._one_at_a_time:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            return self._born.get(timeout=120)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "code" in told:
                self._living.pop(told["pid"]).end(told["code"])
            else:
                child = self._living[told["pid"]] = Child(told["pid"])
                self._born.put(child)

    def _close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._listener.join()
        self._process.stdout.close()


@cache
def nursery() -> Nursery:
    """The one of this process."""
    return Nursery()


def main() -> None:
    """Fork what the lines on standard input ask for, and tell of births and deaths on standard output."""
    loaded = [importlib.import_module(name) for name in READ_AHEAD]
    heard, said = os.pipe()
    os.set_blocking(said, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(said, warn_on_full_buffer=False)
    living: set[int] = set()
    orders = b""
    while True:
        ready, _, _ = select.select([0, heard], [], [])
        if heard in ready:
            os.read(heard, 4096)
            _bury(living)
        if 0 in ready:
            more = os.read(0, 65536)
            if not more:
                break
            *lines, orders = (orders + more).split(b"\n")
            for line in lines:
                pid = os.fork()
                if not pid:
                    for fd in (heard, said):
                        os.close(fd)
                    loaded[0].app(_become(json.loads(line)), prog_name="reverie")
                living.add(pid)
                _tell(pid=pid)
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def _bury(living: set[int]) -> None:
    while living:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        living.remove(pid)
        _tell(pid=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**what: int) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _become(order: Any) -> list[str]:
    """Forget the nursery, in the child; returns the arguments of the command."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for fd, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(fd, place)
    os.close(nothing)
    os.close(log)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    arguments: list[str] = order["arguments"]
    sys.argv = ["reverie", *arguments]
    return arguments


if __name__ == "__main__":
    main()
