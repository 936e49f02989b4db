"""How the sandbox is started: the bubblewrap command line, or what keeps it from working here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from reverie.tools.base import SandboxOptions, SandboxReport

UID_FOR_ROOT: Final = 65534
"""Whom a server that runs as root becomes before it starts a sandbox."""

PACKAGES: Final = "/packages"
ENVIRONMENTS: Final = "/environments"
DOOR: Final = "/door"
DENO: Final = "/deno"
INSIDE: Final = "inside"
"""Folder of the programs that run in the sandbox, among the packages."""
SHM_BYTES: Final = 16 * 1024 * 1024

_SYSTEM_DIRS: Final = ("/lib", "/lib64", "/lib32", "/bin", "/sbin")


Isolation = Literal["cells", "whole", "none"]
"""What keeps calls apart: namespaces of their own within one sandbox, a sandbox for each, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A zygote's command line; the number of its line's file descriptor is appended to it."""

    argv: tuple[str, ...]
    isolation: Isolation
    environments: str
    """Where calls see the environments for requirements."""
    door: str | None
    """Where they see the folder with the socket of the server's API; None: there is none."""
    packages: str
    """Where they see the programs of `inside` and the packages of all tools."""
    deno: str | None
    """Where they see what runs TypeScript; None: that is not installed."""

    @property
    def sandboxed(self) -> bool:
        """Whether calls are kept from what the server can do."""
        return self.isolation != "none"


def sandboxed(options: SandboxOptions, *, cells: bool, packages: Path, environments: Path, door: Path | None) -> Launch:
    """The command line of a zygote in bubblewrap; with `cells`, one that keeps its calls apart by itself."""
    places = {PACKAGES: str(packages), ENVIRONMENTS: str(environments)}
    if door is not None:
        places[DOOR] = str(door)
    deno = deno_program()
    if deno is not None:
        places[DENO] = deno
    argv = _shut_in(options, places, cells=cells, hidden=(str(environments.parent),))
    return Launch(
        argv=(*argv, *_zygote(_interpreter(), PACKAGES, options, cells=cells)),
        isolation="cells" if cells else "whole",
        environments=ENVIRONMENTS,
        door=None if door is None else DOOR,
        packages=PACKAGES,
        deno=None if deno is None else DENO,
    )


def enclosed(options: SandboxOptions, shown: Mapping[str, str]) -> tuple[str, ...]:
    """The command line of Python in a sandbox of its own, up to its script; `shown` maps places to what they show."""
    return (*_shut_in(options, shown, cells=False), _interpreter(), "-I", "-S", "-B")


def unsafe(options: SandboxOptions, packages: Path, environments: Path, door: Path | None) -> Launch:
    """The command line of a zygote whose calls can do all that the server can."""
    return Launch(
        argv=tuple(_zygote(sys.executable, str(packages), options, cells=False)),
        isolation="none",
        environments=str(environments),
        door=None if door is None else str(door),
        packages=str(packages),
        deno=deno_program(),
    )


def deno_program() -> str | None:
    """What runs TypeScript: beside this interpreter, where its package puts it, or on the path."""
    beside = Path(sys.executable).parent / "deno"
    found = str(beside) if beside.is_file() else shutil.which("deno")
    return None if found is None else os.path.realpath(found)


def missing_program() -> SandboxReport | None:
    """What has to be installed before a sandbox can be tried."""
    if not sys.platform.startswith("linux"):
        return SandboxReport(works=False, detail=f"bubblewrap needs Linux and this is {sys.platform}; {_OTHERWISE}")
    if shutil.which("bwrap") is None:
        return SandboxReport(
            works=False,
            detail=f"bubblewrap is not installed; run `apt install bubblewrap` (or `dnf`, `pacman`); {_OTHERWISE}",
        )
    if _has_all_of_root() and shutil.which("setpriv") is None:
        return SandboxReport(
            works=False,
            detail="a server that runs as root needs `setpriv`; run `apt install util-linux` "
            f"or start it as another user; {_OTHERWISE}",
        )
    return None


def bwrap_version() -> str:
    """Such as `bubblewrap 0.8.0`."""
    answer = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, timeout=10, check=False)
    return answer.stdout.strip() or "bubblewrap"


def diagnose(stderr: str) -> str:
    """Why bubblewrap did not start, and how to mend it."""
    remedies = []
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        remedies.append("run `sysctl -w kernel.unprivileged_userns_clone=1`")
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        remedies.append(
            "run `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` or give bwrap an AppArmor profile"
        )
    if _sysctl("user/max_user_namespaces") == "0":
        remedies.append("raise `user.max_user_namespaces`")
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        remedies.append(
            "start the container with `--security-opt seccomp=unconfined --security-opt systempaths=unconfined`, where "
            "AppArmor is in use also `--security-opt apparmor=unconfined` (podman: `--security-opt seccomp=unconfined "
            "--security-opt unmask=ALL`; for root also `--cap-add SYS_ADMIN`)"
        )
    if not remedies:
        remedies.append("check that this user may create user namespaces")
    reason = stderr.strip().splitlines()[-1] if stderr.strip() else "it gave no reason"
    return f"bubblewrap cannot start a sandbox here ({reason}); {'; '.join(remedies)}; {_OTHERWISE}"


SLOW: Final = (
    "calls cannot be kept apart within one sandbox here (AppArmor may deny capabilities in it, or the kernel is older "
    "than 5.3), so each starts a sandbox and an interpreter of its own, which takes some 60 ms more"
)
"""What is to be said where calls cannot be kept apart within one sandbox."""
_OTHERWISE: Final = "or allow running tools without a sandbox, if you wrote all of them yourself"


def _interpreter() -> str:
    return str(Path(sys.base_prefix) / "bin" / Path(os.path.realpath(sys.executable)).name)


def _shut_in(
    options: SandboxOptions, shown: Mapping[str, str], *, cells: bool, hidden: Sequence[str] = ()
) -> list[str]:
    """What a command begins with to run in bubblewrap.

    For uid 0 it is two sandboxes, one in the other. A sandbox started by root does not hold: even
    without capabilities its user is the host's root to the kernel, who may write
    `/proc/sys/kernel/core_pattern` and is exempt from the limit on processes. So root's own
    bubblewrap only arranges what the worker may read at all (an interpreter below /root cannot be
    reached by anyone else), `setpriv` becomes another user, and that user's bubblewrap is the sandbox.
    """
    places = {sys.base_prefix: sys.base_prefix, **shown}
    if not _has_all_of_root():
        return _inner(options, places, cells=cells, hidden=hidden)
    staged = {place: f"/stage/{number}" for number, place in enumerate(places)}
    staging = _staging({staged[place]: origin for place, origin in places.items()})
    return [*staging, *_become_other(), *_inner(options, staged, cells=cells)]


def _zygote(interpreter: str, packages: str, options: SandboxOptions, *, cells: bool) -> list[str]:
    command = [interpreter, "-I", "-S", "-B", f"{packages}/{INSIDE}/zygote.pyc", "cells" if cells else "bare"]
    return [*command, str(options.scratch_bytes), str(SHM_BYTES)]


def _inner(options: SandboxOptions, places: Mapping[str, str], *, cells: bool, hidden: Sequence[str] = ()) -> list[str]:
    """The sandbox itself; `places` maps what it shows to where that comes from."""
    argv = ["bwrap", "--unshare-user", "--unshare-all", "--die-with-parent", "--new-session"]
    if cells:
        # Capabilities in the sandbox's own user namespace, with which the zygote makes cells; no call keeps any.
        argv += ["--cap-add", "ALL", "--uid", "0", "--gid", "0"]
    else:
        argv += ["--disable-userns", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000"]
    argv += ["--clearenv", "--hostname", "sandbox", *_system()]
    bound = ["/usr"]
    if not _is_below(sys.base_prefix, "/usr"):
        argv += ["--ro-bind", places[sys.base_prefix], sys.base_prefix]
        bound.append(sys.base_prefix)
    # What else is installed beside the interpreter (perhaps this server) is nobody's business in there.
    for folder in (*_package_folders(), *hidden, sys.prefix):
        if folder != sys.base_prefix and any(_is_below(folder, top) for top in bound) and Path(folder).is_dir():
            argv += ["--size", "4096", "--tmpfs", folder, "--remount-ro", folder]
    for place, origin in places.items():
        argv += [] if place == sys.base_prefix else ["--ro-bind", origin, place]
    argv += ["--proc", "/proc", "--dev", "/dev", "--size", str(SHM_BYTES), "--tmpfs", "/dev/shm"]
    argv += ["--size", str(options.scratch_bytes), "--tmpfs", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/"]
    argv += ["--chdir", "/tmp", "--setenv", "HOME", "/tmp", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"]
    argv += ["--setenv", "LANG", "C.UTF-8", "--setenv", "OPENBLAS_NUM_THREADS", "1", "--"]
    return argv


def _staging(places: Mapping[str, str]) -> list[str]:
    """Root's part: only what the worker may read is left in sight, at `places` that anyone can reach."""
    argv = ["bwrap", "--die-with-parent", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", *_system()]
    argv += ["--perms", "0755", "--dir", "/stage"]
    for place, origin in places.items():
        argv += ["--ro-bind", origin, place]
    # /proc as it is: the kernel lets the inner sandbox mount its own only where it can see a whole one.
    argv += ["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev", "--perms", "0755", "--dir", "/tmp"]
    return [*argv, "--remount-ro", "/", "--"]


def _become_other() -> list[str]:
    user = str(UID_FOR_ROOT)
    return [
        *("setpriv", "--reuid", user, "--regid", user, "--clear-groups"),
        *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
    ]


def _system() -> list[str]:
    argv = ["--ro-bind", "/usr", "/usr", "--perms", "0755", "--dir", "/etc"]
    # Where shared libraries are: an interpreter in /usr/local, as images have it, finds its own by this list alone.
    argv += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for folder in _SYSTEM_DIRS:
        if Path(folder).is_symlink():
            argv += ["--symlink", os.readlink(folder), folder]
        elif Path(folder).is_dir():
            argv += ["--ro-bind", folder, folder]
    return argv


def _package_folders() -> list[str]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sys.base_prefix) / "lib"
    folders = [
        library / version / "site-packages",
        library / version / "dist-packages",
        library / "python3/dist-packages",
    ]
    if _is_below(sys.base_prefix, "/usr"):
        folders += [
            Path("/usr/local/lib") / version / "site-packages",
            Path("/usr/local/lib") / version / "dist-packages",
        ]
    return list(dict.fromkeys(str(folder) for folder in folders))


def _is_below(path: str, top: str) -> bool:
    return Path(path).is_relative_to(top)


def _has_all_of_root() -> bool:
    """Whether we are the host's root, not merely uid 0 of a user namespace."""
    if os.geteuid() != 0:
        return False
    try:
        first = Path("/proc/self/uid_map").read_text().split()[:2]
    except OSError:
        return True
    return first == ["0", "0"]


def _sysctl(name: str) -> str:
    try:
        return (Path("/proc/sys") / name).read_text().strip()
    except OSError:
        return ""
