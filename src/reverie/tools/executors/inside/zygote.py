"""Forks a process for each call: Python has started and read its libraries once, and no call waits or pays for that.

It lives in the sandbox and runs nothing of any tool. Arguments: `cells` or `bare`; bytes of /tmp; bytes of /dev/shm;
the number of a socket to the server. On that come, one after the other,

    {"fork": [modules to read first]}
        with the file descriptors of the call's own line to the server, its stdout and stderr
    {"bury": the number of a call that has ended}

and go `{"pid"}` or `{"problem"}`, and `{"code"}`. What is to be called goes over the call's line, past this
process, which so never holds a secret.

With `cells` each call gets namespaces of its own (`cell.py`); `bare` forks alone: where there is no
sandbox at all, or where the server ends the whole sandbox after one call.
"""

import contextlib
import gc
import importlib
import json
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reverie.tools.executors.inside import cell, runner
else:
    sys.path.insert(0, os.path.dirname(__file__))
    import cell
    import runner

    del sys.path[0], sys.modules["cell"], sys.modules["runner"]  # a tool may have modules of these names

_LINE = 3
"""Number of the line to the server in a call's process."""
_MOST_DESCRIPTORS = 256
"""This process has a handful, all of low numbers."""


def main() -> None:
    """Serve until the server is gone."""
    kind, scratch_bytes, shm_bytes, number = sys.argv[1], *map(int, sys.argv[2:5])
    control = socket.socket(fileno=os.dup(number))
    os.close(number)
    cells = _Cells(scratch_bytes, shm_bytes) if kind == "cells" else None
    if cells is not None:
        cells.try_out()
    control.sendall(b"{}")
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 65536, 3)
        if not data:
            os._exit(0)
        order = json.loads(data)
        if "bury" in order:
            control.sendall(json.dumps({"code": _bury(order["bury"])}).encode())
            continue
        _read_libraries(order["fork"])
        try:
            child = _fork(descriptors, cells)
        except OSError as error:
            control.sendall(json.dumps({"problem": str(error)}).encode())
        else:
            _announce(control, child, seen_elsewhere=cells is not None)
        for descriptor in descriptors:
            os.close(descriptor)


class _Cells:
    """Makes and fills cells of one size."""

    def __init__(self, scratch_bytes: int, shm_bytes: int) -> None:
        self.sizes = scratch_bytes, shm_bytes
        self.isolation = cell.Isolation()

    def try_out(self) -> None:
        """Enter a cell, for the server to know that it can be done here."""
        child = self.isolation.fork()
        if child == 0:
            cell.enter(*self.sizes)  # what it raises goes to stderr, which is read where the server gets no word
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(1)


def _bury(child: int) -> int:
    """How a call ended; the server asks when it has seen that. Until then its number is nobody else's."""
    status = os.waitpid(child, 0)[1]
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _read_libraries(names: list[str]) -> None:
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        with contextlib.suppress(ImportError):  # the tool will say so itself
            importlib.import_module(name)
            if name == "pydantic":  # most of it is read, and its plug-ins are looked for, at the first model
                pydantic = sys.modules[name]
                pydantic.TypeAdapter(pydantic.create_model("First", number=(int, ...)))
    if missing or gc.isenabled():
        gc.collect()
        gc.freeze()  # so that no collection in a call touches, and so copies, what all share
        gc.disable()


def _fork(descriptors: list[int], cells: _Cells | None) -> int:
    child = os.fork() if cells is None else cells.isolation.fork()
    if child == 0:
        try:
            _begin(descriptors, cells)
        except BaseException as error:  # noqa: BLE001 - never back into the zygote's loop
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(1)
    return child


def _begin(descriptors: list[int], cells: _Cells | None) -> None:
    line, *printed = descriptors
    for number, descriptor in zip((1, 2), printed, strict=True):
        os.dup2(descriptor, number)
    os.dup2(line, _LINE, inheritable=False)
    os.closerange(_LINE + 1, _MOST_DESCRIPTORS)
    if cells is None:
        os.setsid()
    else:
        cell.enter(*cells.sizes)
    gc.enable()
    runner.main(_LINE)


def _announce(control: socket.socket, child: int, *, seen_elsewhere: bool) -> None:
    """Name the call's process. The kernel puts the number of a credential into the reader's own terms."""
    credential = struct.pack("3i", child, os.getuid(), os.getgid())
    ancillary = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credential)] if seen_elsewhere else []
    control.sendmsg([json.dumps({"pid": child}).encode()], ancillary)


if __name__ == "__main__":
    main()
