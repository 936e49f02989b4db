"""A call's own place within the sandbox: namespaces of its own, nothing of any other call in sight, no capability.

Whoever enters is the first process of a fresh process namespace, and its parent is the zygote. It has all
capabilities of the sandbox's user namespace until `enter` gives them up for good.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC, _REC, _PRIVATE = 0x2, 0x4, 0x8, 0x4000, 0x40000
_CAPBSET_DROP, _SET_NO_NEW_PRIVS = 24, 38
_CAPABILITIES_V3 = 0x20080522
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 0x1, 0x40
_INSIDE = 1000
"""User and group of a call, as it sees them."""

_libc = ctypes.CDLL(None, use_errno=True)


class Isolation:
    """Makes process namespaces, one after the other; kept by the zygote."""

    def __init__(self) -> None:
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def fork(self) -> int:
        """Fork the first process of a fresh process namespace; like `os.fork`."""
        _call(_libc.unshare, _NEWPID)
        child = -1
        try:
            child = os.fork()
        finally:
            if child != 0:
                _call(_libc.setns, self._own, _NEWPID)
        return child


def enter(scratch_bytes: int, shm_bytes: int) -> None:
    """Make what else is one's own, then give up every capability and every way to get one.

    Raises:
        OSError: the system refuses a part; whoever sees that must not run anything here.
    """
    _call(_libc.unshare, _NEWNS | _NEWIPC | _NEWNET)
    _mount(None, "/", None, _REC | _PRIVATE)
    # Over the zygote's own, which nobody without capabilities can take away again.
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, f"size={scratch_bytes},mode=0755")
    _mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV, f"size={shm_bytes},mode=0755")
    _mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    _start_loopback()
    _leave_keyrings()
    _become_nobody()
    os.chdir("/tmp")
    os.setsid()


def _start_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP | _IFF_RUNNING))


def _leave_keyrings() -> None:
    """The session's keyring goes from parent to child, and would carry words from call to call."""
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:
        _libc.syscall(ctypes.c_long(number), ctypes.c_long(_JOIN_SESSION_KEYRING), None)


def _become_nobody() -> None:
    user, group = os.getuid(), os.getgid()
    # A user namespace of its own: what the kernel counts and keeps for a user is kept for this call alone.
    _call(_libc.unshare, _NEWUSER)
    for name, content in (
        ("self/setgroups", "deny"),
        ("self/uid_map", f"{_INSIDE} {user} 1"),
        ("self/gid_map", f"{_INSIDE} {group} 1"),
        ("sys/user/max_user_namespaces", "0"),  # in another one it would have capabilities again
    ):
        with open(f"/proc/{name}", "w") as file:
            file.write(content)
    number = 0
    while _libc.prctl(_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    _call(_libc.capset, header, none)
    _call(_libc.prctl, _SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _call(_libc.mount, *texts[:3], ctypes.c_ulong(flags), texts[3])


def _call(function: Callable[..., int], *arguments: Any) -> None:
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), getattr(function, "__name__", ""))
