"""Packages that tools can import: a fixed set for all, and environments for requirements."""

import asyncio
import contextlib
import hashlib
import importlib.metadata
import json
import os
import py_compile
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from reverie.domain.errors import InvalidInput, ToolError
from reverie.domain.json import JsonObject
from reverie.domain.tool import PipRequirement, Tool
from reverie.tools.executors import launch

BASE: Final = ("pydantic", "letta-client")
"""Importable by every tool, with all that they need themselves."""
TYPESCRIPT_SDK: Final = PipRequirement(name="@letta-ai/letta-client", version="1.12.1")
"""What `client` is made of in TypeScript."""
INSTALL_TIMEOUT_S: Final = 300.0
_TRY_AGAIN_S: Final = 300.0
_DENO_CACHE: Final = ".deno"
_TEMPORARY: Final = ".tmp"
_SIZE_CHECK_S: Final = 0.25

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,-]+\])?")
_VERSION = re.compile(r"(?P<operator>===|==|>=|<=|~=|!=|>|<)?\s*(?P<rest>[A-Za-z0-9][A-Za-z0-9.*+!_,<>=~ -]*)")
_NPM_NAME = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*")
_NPM_VERSION = re.compile(r"[~^]?[0-9A-Za-z][0-9A-Za-z.+-]*")
_USE_OF_CLIENT = re.compile(r"(?<![\w$.])client\s*(\?\.|\.|\[)")
_OWN_CLIENT = re.compile(
    r"\b(?:const|let|var|function|class)\s+client\b|\bimport\b[^;\n]*\bclient\b|[({,]\s*client\s*[:,)=]"
)
_INSIDE = Path(__file__).with_name("inside")


def prepare_base(folder: Path) -> Path:
    """Return a folder that holds the programs of `inside` and the packages of `BASE`; it is made at first.

    A copy, because the packages' own folder holds the whole server. Hard links where the file
    system allows, so it takes no room.
    """
    found = _closure(BASE)
    programs = sorted(path for path in _INSIDE.iterdir() if path.suffix in (".py", ".ts"))
    facts = [
        sys.version,
        *(program.read_text() for program in programs),
        *(f"{item.name}=={item.version}" for item in found),
    ]
    target = folder / f"base-{_digest(facts)}"
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
    for item in found:
        for file in item.files or ():
            if ".." not in file.parts:
                _link(Path(str(item.locate_file(file))), draft / file)
    (draft / launch.INSIDE).mkdir()
    for program in programs:
        if program.suffix == ".ts":
            shutil.copyfile(program, draft / launch.INSIDE / program.name)
            continue
        py_compile.compile(
            str(program),
            cfile=str(draft / launch.INSIDE / f"{program.stem}.pyc"),
            dfile=program.name,
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    _put_in_place(draft, target)
    return target


def requirement_lines(requirements: Sequence[PipRequirement]) -> tuple[str, ...]:
    """`requirements` as the installer reads them, sorted.

    Raises:
        InvalidInput: a name or version that could not be a package's.
    """
    lines = []
    for item in requirements:
        version = _VERSION.fullmatch(item.version.strip()) if item.version else None
        if not _NAME.fullmatch(item.name) or (item.version and version is None):
            raise InvalidInput(
                f"pip requirement {item.name!r} {item.version or ''!r} is not a package name and version"
            )
        if version is None:
            lines.append(item.name)
        else:
            lines.append(f"{item.name}{version['operator'] or '=='}{version['rest']}")
    return tuple(sorted(lines, key=str.lower))


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What a tool finds in its sandbox beside the packages of all tools."""

    folder: str | None = None
    """Name of the folder with what it requires; None where it requires nothing."""
    client: JsonObject | None = None
    """For TypeScript that uses `client`: `{"problem"}`, which says why there is none; None: it does not use it."""


class Environments:
    """Installed requirements, one folder for each different list of them."""

    def __init__(self, folder: Path, installer_environment: Mapping[str, str], max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._installer_environment = dict(installer_environment)
        self._locks: dict[str, asyncio.Lock] = {}
        self._no_client: tuple[float, str] | None = None
        """When the TypeScript SDK could not be had, and why."""

    async def ensure(self, tool: Tool) -> Installed:
        """Make what `tool` requires, if it is not there yet.

        TypeScript that uses `client` gets the SDK, where that can be had: it runs without it too.

        Raises:
            ToolError: a package cannot be had; the text says which and why.
        """
        if tool.source_type != "typescript" or not uses_client(tool.source_code or ""):
            return Installed(folder=await self._folder_for(tool))
        if any(item.name == TYPESCRIPT_SDK.name for item in tool.npm_requirements):
            return Installed(folder=await self._folder_for(tool), client={"problem": None})
        if self._no_client is None or time.monotonic() - self._no_client[0] > _TRY_AGAIN_S:
            try:
                whole = replace(tool, npm_requirements=(*tool.npm_requirements, TYPESCRIPT_SDK))
                return Installed(folder=await self._folder_for(whole), client={"problem": None})
            except ToolError as error:
                self._no_client = time.monotonic(), str(error)
        return Installed(folder=await self._folder_for(tool), client={"problem": self._no_client[1]})

    async def _folder_for(self, tool: Tool) -> str | None:
        try:
            npm = npm_imports(tool.npm_requirements) if tool.source_type == "typescript" else None
            lines = requirement_lines(tool.pip_requirements) if npm is None else tuple(npm.values())
        except InvalidInput as error:
            raise ToolError(str(error)) from error
        if not lines:
            return None
        name = f"{'env' if npm is None else 'npm'}-{_digest([sys.version, *lines])}"
        async with self._locks.setdefault(name, asyncio.Lock()):
            if not (self.folder / name).is_dir():
                await self._install(lines, self.folder / name, npm)
        return name

    async def _install(self, lines: Sequence[str], target: Path, npm: Mapping[str, str] | None) -> None:
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.folder))
        try:
            if npm is None:
                command = [*_installer(draft), *lines]
            else:
                command = [launch.deno_program() or "deno", "install", "--quiet"]
                (draft / "deno.json").write_text(json.dumps({"imports": npm, "nodeModulesDir": "auto"}))
            (draft / _TEMPORARY).mkdir()
            code, output = await self._run(command, draft, lines)
            if code != 0:
                last = "\n".join(output.decode("utf-8", "replace").strip().splitlines()[-4:])
                raise ToolError(f"the tool needs {', '.join(lines)}, which cannot be installed:\n{last}")
            for left in (_DENO_CACHE, _TEMPORARY):
                shutil.rmtree(draft / left, ignore_errors=True)
            _put_in_place(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    async def _run(self, command: Sequence[str], folder: Path, lines: Sequence[str]) -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env={
                "DENO_TLS_CA_STORE": "system,mozilla",  # as the other installers have it
                **self._installer_environment,
                "DENO_DIR": str(folder / _DENO_CACHE),
                "TMPDIR": str(folder / _TEMPORARY),  # so that what is being unpacked counts
                "DENO_NO_UPDATE_CHECK": "1",
                "NO_COLOR": "1",
            },
        )
        reading = asyncio.create_task(process.communicate())
        try:
            async with asyncio.timeout(INSTALL_TIMEOUT_S):
                while not (await asyncio.wait({reading}, timeout=_SIZE_CHECK_S))[0]:
                    await self._check_size(folder, lines)
            await self._check_size(folder, lines)
            output, _ = reading.result()
        except TimeoutError:
            raise ToolError(f"installing {', '.join(lines)} took longer than {INSTALL_TIMEOUT_S:g} s") from None
        finally:
            reading.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode, output

    async def _check_size(self, folder: Path, lines: Sequence[str]) -> None:
        if await asyncio.to_thread(_size_of, folder) > self._max_bytes:
            raise ToolError(
                f"the packages {', '.join(lines)} take more than {self._max_bytes // 2**20} MiB; "
                "require fewer, or raise REVERIE_TOOL_ENVIRONMENT_MB"
            )


def _size_of(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # installers move what they have just written
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


def uses_client(source: str) -> bool:
    """Whether TypeScript source uses the `client` that tools are given, rather than one of its own."""
    return _USE_OF_CLIENT.search(source) is not None and _OWN_CLIENT.search(source) is None


def npm_imports(requirements: Sequence[PipRequirement]) -> dict[str, str]:
    """`requirements` as an import map: the name a tool imports to what Deno fetches, sorted.

    Raises:
        InvalidInput: a name or version that could not be a package's.
    """
    imports = {}
    for item in requirements:
        version = (item.version or "").strip()
        if not _NPM_NAME.fullmatch(item.name) or (version and not _NPM_VERSION.fullmatch(version)):
            raise InvalidInput(
                f"npm requirement {item.name!r} {item.version or ''!r} is not a package name and version"
            )
        imports[item.name] = f"npm:{item.name}@{version}" if version else f"npm:{item.name}"
    return dict(sorted(imports.items()))


def installer_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` an installer needs; keys of model providers are not among it."""
    keep = ("PIP_", "UV_", "NPM_CONFIG_", "DENO_", "SSL_", "LC_")
    exact = {"PATH", "HOME", "LANG", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "XDG_CACHE_HOME"}
    return {key: value for key, value in environment.items() if key.upper() in exact or key.upper().startswith(keep)}


def _installer(target: Path) -> list[str]:
    if shutil.which("uv"):
        return [
            "uv",
            "pip",
            "install",
            "--quiet",
            "--python",
            sys.executable,
            "--only-binary",
            ":all:",
            "--target",
            str(target),
            "--",
        ]
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--only-binary", ":all:", "--target", str(target), "--"),
    ]


def _closure(names: Sequence[str]) -> list[importlib.metadata.Distribution]:
    """The installed distributions of `names` and all they require, extras left out."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            item = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # required on other platforms or versions only
        found[name] = item
        for line in item.requires or ():
            if "extra ==" not in line and (match := re.match(r"[A-Za-z0-9._-]+", line)):
                waiting.append(match[0])
    return [found[name] for name in sorted(found)]


def _link(source: Path, target: Path) -> None:
    if not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.stat().st_mode & 0o004:  # a link shares its mode, so only what is readable already
        try:
            os.link(source, target)
        except OSError:
            pass  # another file system
        else:
            return
    shutil.copy2(source, target)


def _put_in_place(draft: Path, target: Path) -> None:
    """Make `draft` readable to the sandbox's user and give it its name at once; whoever was first wins."""
    draft.chmod(0o755)
    for path in draft.rglob("*"):
        mode = path.stat().st_mode
        if path.is_dir():
            path.chmod(0o755)
        elif not mode & 0o004:
            path.chmod(mode | 0o444)
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.is_dir():
            raise


def _digest(facts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]
