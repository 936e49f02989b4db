"""Ways out of the sandbox, each really tried, and each shown to work for a bare subprocess of the same server.

All attempts are made in one call, one after the other, so that forty of them cost two processes.
None of them does harm where it succeeds: files are opened and not written, signals are number 0.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import sqlite3
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from reverie.domain.ids import OrganizationId, ToolId
from reverie.domain.tool import Tool
from reverie.tools.base import SandboxOptions, ToolOutcome, ToolRun
from reverie.tools.executors.sandbox import SandboxExecutor

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
NOW = datetime(2026, 11, 1, tzinfo=UTC)
IS_ROOT: Final = os.geteuid() == 0

# Name to the body of a function that gets `at`, the facts of this machine, and fails or returns what is not true
# when the attempt is refused.
ATTEMPTS: Final[dict[str, str]] = {
    # files
    "read the database": "return open(at['database'], 'rb').read(6) == b'SQLite'",
    "list the data directory": "return 'reverie.db' in os.listdir(at['data_dir'])",
    "read the key file": "return open(at['data_dir'] + '/server.key').read() == 'key'",
    "read the users of the machine": "return 'root' in open('/etc/passwd').read()",
    "read the server's code": "return 'def' in open(at['code']).read()",
    "import the server": "sys.path.append(at['packages']); import reverie; return True",
    "list the home of the server's user": "return len(os.listdir(at['home'])) > 1",
    "read through a link": """
        link = f'/tmp/link-{os.getpid()}'
        os.symlink(at['database'], link)
        try:
            return open(link, 'rb').read(6) == b'SQLite'
        finally:
            os.unlink(link)""",
    "link to a file outside": "os.link(at['database'], at['scratch'] + '/hard'); return True",
    "write beside the database": "open(at['data_dir'] + '/planted', 'w').close(); return True",
    "write into a folder that all may write": "open(at['scratch'] + '/planted', 'w').close(); return True",
    "write among the system's programs": "open('/usr/planted', 'w').close(); os.unlink('/usr/planted'); return True",
    "walk out of the working folder": "return open('../../..' + at['database'], 'rb').read(6) == b'SQLite'",
    # what the kernel shows of others
    "read the server's environment": "return b'PATH' in open(f'/proc/{at[\"pid\"]}/environ', 'rb').read()",
    "read the server's arguments": "return b'python' in open(f'/proc/{at[\"pid\"]}/cmdline', 'rb').read()",
    "open the server's memory": "os.close(os.open(f'/proc/{at[\"pid\"]}/mem', os.O_RDONLY)); return True",
    "see the server's files": "return len(os.listdir(f'/proc/{at[\"pid\"]}/fd')) > 0",
    "enter by the server's root": "return open(f'/proc/{at[\"pid\"]}/root/etc/passwd').read() != ''",
    "read the server's memory": """
        buffer = ctypes.create_string_buffer(8)
        local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
        remote = (ctypes.c_size_t * 2)(at['address'], 8)
        return libc.process_vm_readv(at['pid'], local, 1, remote, 1, 0) == 8""",
    # the kernel itself
    "set where core dumps go": "open('/proc/sys/kernel/core_pattern', 'r+').close(); return True",
    "set the kernel's parameters": "open('/proc/sys/vm/drop_caches', 'w').close(); return True",
    "set what /sys holds": "open(at['sys'], 'r+').close(); return True",
    "name the machine": "socket.sethostname(socket.gethostname()); return True",
    "make a device": "os.mknod(at['scratch'] + '/device', 0o666 | stat.S_IFCHR, os.makedev(1, 3)); return True",
    "be root": "os.setuid(0); return open('/etc/shadow').read() != ''",
    # signals and priorities
    "signal the server": "os.kill(at['pid'], 0); return True",
    "signal everybody": "os.kill(-1, 0); return len(os.listdir('/proc')) > 100",
    "read the server's limits": "resource.prlimit(at['pid'], resource.RLIMIT_NOFILE); return True",
    "move the server to other cores": """
        os.sched_setaffinity(at['pid'], os.sched_getaffinity(at['pid'])); return True""",
    "trace the server": """
        seized = libc.ptrace(0x4206, at['pid'], None, None) == 0
        return seized and (libc.ptrace(17, at['pid'], None, None), True)[1]""",
    # sockets
    "connect to a service of this machine": "return socket.create_connection(('127.0.0.1', at['port']), 3)",
    "connect to a socket in a folder": """
        s = socket.socket(socket.AF_UNIX); s.connect(at['socket']); return True""",
    "connect to a socket without a path": """
        s = socket.socket(socket.AF_UNIX); s.connect(at['abstract']); return True""",
    "see the machine's network": "return len(socket.if_nameindex()) > 1 or at['port'] in ports()",
    "send a datagram": """
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)
        s.sendto(b'hello', ('127.0.0.1', at['udp'])); return s.recv(5) == b'hello'""",
    "make packets by hand": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(); return True",
    # namespaces and mounts
    "make a user namespace": "return in_child(lambda: call(libc.unshare, 0x10000000))",
    "make a mount namespace": "return in_child(lambda: call(libc.unshare, 0x00020000))",
    "mount": """
        def attempt():
            call(libc.unshare, 0x00020000)
            call(libc.mount, b'none', b'/', None, 0x44000, None)
            call(libc.mount, b'none', b'/tmp', b'tmpfs', 0, None)
        return in_child(attempt)""",
    "join the server's network": """
        def attempt():
            with open(f'/proc/{at["pid"]}/ns/net') as other: call(libc.setns, other.fileno(), 0)
        return in_child(attempt)""",
    "change its root": "return in_child(lambda: os.chroot(at['scratch']))",
}
NEEDS_ROOT: Final = {
    "set where core dumps go",
    "set the kernel's parameters",
    "set what /sys holds",
    "name the machine",
    "make a device",
    "be root",
    "make packets by hand",
    "write among the system's programs",
    "make a mount namespace",
    "mount",
    "join the server's network",
    "change its root",
    "trace the server",
    "read the server's memory",
}
"""What an ordinary user cannot do either, so that a bare subprocess of an ordinary server proves nothing."""

PREAMBLE: Final = """
import ctypes, os, resource, socket, stat, sys

libc = ctypes.CDLL(None, use_errno=True)

def call(function, *arguments):
    if function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), "refused")

def in_child(action):
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0

def ports():
    return [int(line.split()[1].split(":")[1], 16) for line in open("/proc/net/tcp").readlines()[1:]]
"""


def program() -> str:
    parts = [PREAMBLE]
    for number, body in enumerate(ATTEMPTS.values()):
        parts.append(f"def _attempt_{number}(at):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n")
    parts.append(f"""
def probe(at):
    done = []
    for number in range({len(ATTEMPTS)}):
        try:
            if globals()[f"_attempt_{{number}}"](at):
                done.append(number)
        except (Exception, SystemExit):
            pass
    return done
""")
    return "\n".join(parts)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What an attacker would know of the server and its machine."""
    data_dir = tmp_path_factory.mktemp("data")
    scratch = tmp_path_factory.mktemp("scratch")
    scratch.chmod(0o777)
    for folder in (*scratch.parents,)[:3]:
        folder.chmod(folder.stat().st_mode | 0o055) if folder.is_relative_to("/tmp") and folder != Path(
            "/tmp"
        ) else None
    with sqlite3.connect(data_dir / "reverie.db") as database:
        database.execute("CREATE TABLE t (x)")
    (data_dir / "server.key").write_text("key")
    tcp, udp, path, abstract = (
        socket.create_server(("127.0.0.1", 0)),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        socket.socket(socket.AF_UNIX),
        socket.socket(socket.AF_UNIX),
    )
    udp.bind(("127.0.0.1", 0))
    threading.Thread(target=_echo, args=(udp,), daemon=True).start()
    where = os.path.relpath(scratch / "s")
    path.bind(min(where, str(scratch / "s"), key=len))
    os.chmod(scratch / "s", 0o666)
    abstract.bind(f"\0reverie-{os.getpid()}")
    for listener in (path, abstract):
        listener.listen()
    kept = b"a secret of the server"
    yield {
        "database": str(data_dir / "reverie.db"),
        "data_dir": str(data_dir),
        "scratch": str(scratch),
        "code": __file__,
        "packages": str(Path(__file__).parents[3] / "src"),
        "home": os.path.expanduser("~"),
        "pid": os.getpid(),
        "address": id(kept),
        "sys": _writable_in_sys(),
        "port": tcp.getsockname()[1],
        "udp": udp.getsockname()[1],
        "socket": str(scratch / "s"),
        "abstract": f"\0reverie-{os.getpid()}",
    }
    for open_socket in (tcp, udp, path, abstract):
        open_socket.close()


def _echo(udp: socket.socket) -> None:
    try:
        while True:
            data, sender = udp.recvfrom(16)
            udp.sendto(data, sender)
    except OSError:
        return


def _writable_in_sys() -> str:
    found = (path for path in Path("/sys/kernel/mm").rglob("*") if path.is_file() and path.stat().st_mode & 0o200)
    return str(next(found, Path("/sys/kernel/uevent_seqnum")))


TOOL: Final = Tool(
    id=ToolId("tool-1"),
    organization_id=OrganizationId("org-1"),
    name="probe",
    json_schema={},
    created_at=NOW,
    updated_at=NOW,
)


def run_once(options: SandboxOptions, source: str, arguments: dict[str, Any]) -> ToolOutcome:
    tool = replace(TOOL, source_code=source)

    async def once() -> ToolOutcome:
        executor = SandboxExecutor(options, environment=dict(os.environ))
        try:
            return await executor.run(ToolRun(tool=tool, arguments=arguments))
        finally:
            await executor.aclose()

    return asyncio.run(once())


def outcome_of(machine: dict[str, Any], options: SandboxOptions) -> set[str]:
    outcome = run_once(options, program(), {"at": machine})
    assert outcome.status == "success", outcome
    names = list(ATTEMPTS)
    assert isinstance(outcome.value, list)
    return {names[number] for number in outcome.value if isinstance(number, int)}


@pytest.fixture(scope="module")
def escaped(machine: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What succeeds in the sandbox, in a cell of it or where each call has to have a whole one."""
    in_cell = outcome_of(machine, SandboxOptions(data_dir=str(tmp_path_factory.mktemp("inside"))))
    programs = tmp_path_factory.mktemp("programs")
    grudging = programs / "bwrap"
    # As on systems whose AppArmor lets bubblewrap make namespaces and denies capabilities within them.
    refusal = 'for word; do [ "$word" = --cap-add ] && exit 1; done'
    grudging.write_text(f'#!/bin/sh\n{refusal}\nexec {shutil.which("bwrap")} "$@"\n')
    grudging.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        in_whole = outcome_of(machine, SandboxOptions(data_dir=str(tmp_path_factory.mktemp("whole"))))
    return in_cell | in_whole


@pytest.fixture(scope="module")
def unprotected(machine: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What succeeds in a bare subprocess."""
    folder = str(tmp_path_factory.mktemp("outside"))
    options = SandboxOptions(data_dir=folder, unsafe_subprocess=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", folder)  # there is no bubblewrap on it
        return outcome_of(machine, options)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_sandbox_refuses_to(attempt: str, escaped: set[str], unprotected: set[str]) -> None:
    assert attempt not in escaped
    if IS_ROOT or attempt not in NEEDS_ROOT:
        assert attempt in unprotected, "a bare subprocess cannot do it either, so this shows nothing"


LOOKS: Final = {
    "a port": "socket.create_connection(('127.0.0.1', 5555), 3)",
    "a socket without a path": "socket.socket(socket.AF_UNIX).connect('\\0left')",
    "a file": "open('/tmp/left').close()",
    "a memory segment": "call(lambda: min(libc.shmget(0x1eaf, 0, 0), 0))",
    "a terminal": "os.close(os.open('/dev/pts/0', os.O_RDWR | os.O_NOCTTY))",
    "a process": "[name for name in os.listdir('/proc') if name.isdigit()][1]",
    "a word in the session's keyring": "call(lambda: min(libc.syscall(KEYCTL, 10, -3, b'user', b'left', 0), 0))",
    "a word in the user's keyring": "call(lambda: min(libc.syscall(KEYCTL, 10, -4, b'user', b'left', 0), 0))",
}
"""What a call may leave, and an expression that raises where it is not found."""


def test_calls_side_by_side_find_nothing_of_one_another(tmp_path: Path) -> None:
    looks = ", ".join(f"{name!r}: lambda: {look}" for name, look in LOOKS.items())
    common = f"""{PREAMBLE}
import pty, time
ADD_KEY, KEYCTL = (248, 250) if os.uname().machine == "x86_64" else (217, 219)
def found():
    names = []
    for name, look in {{{looks}}}.items():
        try:
            look()
            names.append(name)
        except (OSError, IndexError):
            pass
    return names
"""
    leave = f"""{common}
def probe():
    kept = [socket.create_server(("127.0.0.1", 5555)), socket.socket(socket.AF_UNIX), pty.openpty()]
    kept[1].bind("\\0left"); kept[1].listen()
    open("/tmp/left", "w").close()
    libc.shmget(0x1eaf, 64, 0o1666)
    for ring in (-3, -4):
        libc.syscall(ADD_KEY, b"user", b"left", b"word", 4, ring)
    if os.fork() == 0:
        time.sleep(60)
    names = found()
    if len(names) == {len(LOOKS)}:
        while True: pass
    return names
"""

    async def both() -> Any:
        executor = SandboxExecutor(SandboxOptions(data_dir=str(tmp_path)))
        leaver, finder = (replace(TOOL, source_code=s) for s in (leave, f"{common}\ndef probe():\n    return found()"))
        leaving = asyncio.create_task(executor.run(ToolRun(tool=leaver, arguments={})))
        try:
            while not leaving.done() and not _is_busy():
                await asyncio.to_thread(psutil.cpu_percent, 0.05)
            assert not leaving.done(), leaving.result()  # it finds all of that itself
            return (await executor.run(ToolRun(tool=finder, arguments={}))).value
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            await executor.aclose()

    assert asyncio.run(both()) == []


def _is_busy() -> bool:
    """Whether a process below this one has worked for a while."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "zygote.pyc" in " ".join(process.cmdline()) and process.cpu_times().user > 0.3:
                return True
    return False


BOMBS: Final = {
    "take all memory": "return len(bytearray(400 * 2**20)) > 0",
    "fill the disk": "open(at['scratch'] + '/big', 'wb').write(b'x' * 80 * 2**20); return True",
    "fill its own folder": "[open(f'/tmp/big-{n}', 'wb').write(b'x' * 2**24) for n in range(6)]; return True",
    "have a hundred processes": """
        children = []
        for _ in range(100):
            child = os.fork()
            if child == 0:
                os.read(0, 1); import time; time.sleep(5); os._exit(0)
            children.append(child)
        for child in children: os.kill(child, 9)
        return True""",
    "hold thousands of files open": "kept = [os.open('/dev/null', 0) for _ in range(1500)]; return True",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_the_sandbox_has_no_room_to(bomb: str, machine: dict[str, Any], tmp_path: Path) -> None:
    body = textwrap.indent(textwrap.dedent(BOMBS[bomb]).strip(), "    ")
    source = f"{PREAMBLE}\ndef probe(at):\n{body}\n"
    roomy = {"memory_bytes": 2**33, "scratch_bytes": 2**30, "processes": 4096}
    options = SandboxOptions(data_dir=str(tmp_path), memory_bytes=256 * 2**20)
    assert run_once(options, source, {"at": machine}).status == "error"
    if bomb == "hold thousands of files open":
        return  # a limit of every process here, sandboxed or not
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        bare = SandboxOptions(data_dir=str(tmp_path), unsafe_subprocess=True, **roomy)  # type: ignore[arg-type]
        outcome = run_once(bare, source, {"at": machine})
    assert outcome.value is True, "a bare subprocess has no room either, so this shows nothing"
    for left in (*Path("/tmp").glob("big-*"), Path(machine["scratch"]) / "big"):
        left.unlink(missing_ok=True)


def test_the_next_caller_is_safe_from_the_one_before(machine: dict[str, Any], tmp_path: Path) -> None:
    lurk = f"""{PREAMBLE}
def probe(at):
    open('/tmp/left', 'w').close()
    if os.fork() == 0:
        os.setsid()
        import glob, time
        for _ in range(200):
            for path in glob.glob('/proc/*/environ'):
                try:
                    if b'NEXT-SECRET' in open(path, 'rb').read():
                        open(at['scratch'] + '/stolen', 'w').close()
                except OSError:
                    pass
            time.sleep(0.02)
        os._exit(0)
    return True
"""
    work = "import os\ndef probe(at):\n    return os.path.exists('/tmp/left')"

    async def both() -> ToolOutcome:
        executor = SandboxExecutor(SandboxOptions(data_dir=str(tmp_path)))
        first, second = replace(TOOL, source_code=lurk), replace(TOOL, source_code=work)
        try:
            assert (await executor.run(ToolRun(tool=first, arguments={"at": machine}))).value is True
            secret = {"SECRET": "NEXT-SECRET"}
            return await executor.run(ToolRun(tool=second, arguments={"at": machine}, environment=secret))
        finally:
            await executor.aclose()

    assert asyncio.run(both()).value is False
    assert not (Path(machine["scratch"]) / "stolen").exists()


async def test_chance_is_not_the_same_in_every_call(tmp_path: Path) -> None:
    source = """
import os, random, secrets, ssl, tempfile, uuid
def probe():
    return [random.random(), ssl.RAND_bytes(8).hex(), str(uuid.uuid4()), secrets.token_hex(8), tempfile.mktemp()]
"""
    executor = SandboxExecutor(SandboxOptions(data_dir=str(tmp_path)))
    calls = [await executor.run(ToolRun(tool=replace(TOOL, source_code=source), arguments={})) for _ in range(2)]
    await executor.aclose()
    drawn = [call.value for call in calls]
    assert all(isinstance(values, list) for values in drawn), calls
    assert not [pair for pair in zip(*drawn, strict=True) if pair[0] == pair[1]]
