"""Runs one call of a custom tool, in a process of its own that `zygote.py` has forked.

Python runs here; TypeScript in Deno, which this process starts beside `runner.ts` in the same sandbox.

It waits for a request on its line to the server, until that side of the line ends:

    {"name", "function", "source", "models", "arguments", "agent_state", "environment", "packages",
     "limits", "api", "proxy", "deno"}

The answer, a line of JSON too, goes the other way, so what the tool prints never mixes with what it returns.
"""

import dataclasses
import enum
import functools
import inspect
import json
import linecache
import math
import operator
import os
import re
import resource
import sys
import traceback
import types
import typing
from typing import Any, get_args, get_origin

_OWN_ADDRESS = "127.0.0.2"
"""Where programs in the sandbox find the server's API; what they ask of 127.0.0.1 is for the proxy to refuse."""
_JSON_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "object": dict, "null": None}
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
_WORD = re.compile(r"[A-Za-z_]\w*")
_TYPING = frozenset(typing.__all__)
_INJECTED = ("self", "agent_state")
_PLAIN = {str, int, float, bool, list, dict, type(None), Any, object, typing.Literal, typing.Union, types.UnionType}


def main(line: int) -> None:
    """Read one request, answer it, end the process with everything the tool left running."""
    request = json.loads(_read(line) or b"null")
    if request is None:  # the server went away before there was a call
        os._exit(0)
    _limit(request["limits"], spares_addresses=request["deno"] is None)
    sys.path[:] = [*request["packages"], *(path for path in sys.path if path not in request["packages"])]
    if request["proxy"] is not None:
        request["environment"] |= _way_out(**request["proxy"])
    # The one there is was made for another file.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    data = json.dumps(_answer(request)).encode() if request["deno"] is None else _answer_of_deno(request)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the tool closed it
            continue
    data = data.replace(b"\n", b" ") + b"\n"
    while data:
        data = data[os.write(line, data) :]
    os._exit(0)


def _read(line: int) -> bytes:
    parts = []
    while part := os.read(line, 2**20):
        parts.append(part)
    return b"".join(parts)


def _limit(limits: dict[str, int], *, spares_addresses: bool) -> None:
    for name, value in limits.items():
        if name in ("AS", "DATA") and not spares_addresses:
            continue  # V8 reserves far more addresses than it uses; it has a limit of its own, and the watch counts
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # not every kernel offers it; the limits above hold all the same


def _way_out(socket: str, key: str) -> dict[str, str]:
    """The environment that names the server's proxy to programs."""
    url = f"http://call:{key}@127.0.0.1:{_led(socket)}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    inside = {"NO_PROXY": _OWN_ADDRESS, "no_proxy": _OWN_ADDRESS}
    return inside | {name: url for known in names for name in (known, known.lower())}


def _led(socket: str, address: str = "127.0.0.1") -> int:
    """Lead a port of the sandbox's own loopback to a socket of the server; return its number.

    Programs know hosts and ports; what crosses the sandbox's border is a socket in a folder.
    """
    import socket as sockets  # costs 5 ms, and most calls have no network
    import threading

    listener = sockets.create_server((address, 0))

    def pump(source: Any, target: Any) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(sockets.SHUT_WR)
        except OSError:
            target.close()

    def accept() -> None:
        while True:
            near, _ = listener.accept()
            far = sockets.socket(sockets.AF_UNIX)
            far.connect(socket)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    filename = f"{request['name']}.py"
    source = request["source"]
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    agent = None if request["agent_state"] is None else AgentState(request["agent_state"])
    module = types.ModuleType("tool")
    sys.modules["tool"] = module  # Pydantic and dataclasses look names up there
    try:
        if sys.version_info < (3, 12) and "TypedDict" in source:
            import typing_extensions  # Pydantic takes no other TypedDict before Python 3.12

            typing.TypedDict = typing_extensions.TypedDict
        os.environ.update(request["environment"])
        module.__dict__.update(_unimported(source, request["models"]))
        if request["api"] is not None and "client" in source:
            module.__dict__["client"] = Client(**request["api"])
        exec(compile(source, filename, "exec"), module.__dict__)
        function = module.__dict__[request["function"]]
        value = function(**_bind(function, source, request["arguments"], agent))
        if inspect.iscoroutine(value):
            import asyncio  # costs 30 ms, and most tools are not async

            value = asyncio.run(value)
        value = plain(value)
        edits = [] if agent is None else agent.memory.edits()
    except BaseException as error:  # noqa: BLE001 - whatever the tool raises is its result
        what = "".join(traceback.format_exception_only(error)).strip().rpartition("\n")[2]
        said = f"Error executing function {request['function']}: {what}"
        return {"ok": False, "error": said, "trace": _describe(error, filename)}
    # Lists and objects as JSON, which clients parse; the rest as Python says it, which they compare: "True", "None".
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return {"ok": True, "text": text, "value": value, "edits": edits}


def _answer_of_deno(request: dict[str, Any]) -> bytes:
    """The same for TypeScript. What comes back is the tool's word either way; nobody here reads it."""
    import subprocess  # costs 10 ms, and most tools are Python

    deno, name = request["deno"], request["name"]
    with open("/tmp/tool.ts", "w") as file:
        # Deno imports what is exported, and people write plain functions too.
        file.write(
            f"{request['source']}\nexport const __reverie_entry = typeof {name} === 'function' ? {name} : null;\n"
        )
    command = [deno["program"], "run", "--quiet", "--no-prompt", "--cached-only", "--no-lock", "--allow-env"]
    command += [f"--v8-flags=--max-old-space-size={request['limits']['DATA'] // 2**20}"]
    readable = ["/tmp", deno["runner"]]
    if deno["npm"]:
        command += ["--config", f"{deno['npm']}/deno.json", "--node-modules-dir=manual"]
        readable.append(deno["npm"])
    command += [f"--allow-read={','.join(readable)}", "--allow-write=/tmp"]
    client = deno["client"]
    if client is not None and request["api"] is not None:
        place = f"{_OWN_ADDRESS}:{_led(request['api']['socket'], _OWN_ADDRESS)}"
        client |= {"url": f"http://{place}", "key": request["api"]["key"]}
        command.append(f"--allow-net={place}")
    if request["proxy"] is not None:
        command.append("--allow-net")  # of the sandbox, where nothing but the proxy is
    environment = {**os.environ, **request["environment"], "DENO_DIR": "/tmp/.deno", "NO_COLOR": "1"}
    call = {"name": name, "parameters": deno["parameters"], "arguments": request["arguments"], "client": client}
    done = subprocess.run(
        [*command, deno["runner"], "/tmp/tool.ts", "/tmp/.answer"],
        input=json.dumps(call).encode(),
        env={**environment, "DENO_NO_UPDATE_CHECK": "1"},
        check=False,
    )
    try:
        with open("/tmp/.answer", "rb") as answer:
            return answer.read()
    except OSError:
        problem = f"the tool's process ended with code {done.returncode} before it returned a value"
        return json.dumps({"ok": False, "error": problem}).encode()


class Client:
    """A `letta_client.Letta` that reaches the server through its socket, made when it is first used.

    Importing the SDK costs half a second, and `client` may be no more than a word in the source.
    """

    def __init__(self, socket: str, key: str) -> None:
        self._made = functools.cache(lambda: _connect(socket, key))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made(), name)

    @property  # type: ignore[misc]  # so that isinstance(client, Letta) holds
    def __class__(self) -> Any:
        return type(self._made())


def _connect(socket: str, key: str) -> Any:
    import httpx
    from letta_client import DefaultHttpxClient, Letta

    # Without certificates: a socket in a folder has no use for them, and they cost 80 ms to read.
    http = DefaultHttpxClient(transport=httpx.HTTPTransport(uds=socket, verify=False))
    # No second try: what a call does to agents must not be done twice because it was slow.
    return Letta(base_url="http://localhost", api_key=key, http_client=http, max_retries=0)


class AgentState(types.SimpleNamespace):
    """The calling agent, as a tool is handed it. What the tool changes in `memory` is stored with its result."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__(**state)
        self.blocks = [types.SimpleNamespace(**block) for block in state["blocks"]]
        self.tools = [types.SimpleNamespace(**tool) for tool in state["tools"]]
        self.memory = Memory(self.blocks)

    def model_dump(self, **_how: Any) -> dict[str, Any]:
        return {name: plain(value) for name, value in vars(self).items()}


class Memory:
    """The agent's blocks. Source: what tools call on `agent_state.memory`, letta 0.16, observed 2026-11."""

    def __init__(self, blocks: list[Any]) -> None:
        self.blocks = blocks
        self._before = {block.label: block.value for block in blocks}

    def model_dump(self, **_how: Any) -> dict[str, Any]:
        return {"blocks": plain(self.blocks)}

    def list_block_labels(self) -> list[str]:
        return [block.label for block in self.blocks]

    def get_blocks(self) -> list[Any]:
        return self.blocks

    def get_block(self, label: str) -> Any:
        for block in self.blocks:
            if block.label == label:
                return block
        raise KeyError(
            f"there is no memory block {label!r}; there are: {', '.join(self.list_block_labels()) or 'none'}"
        )

    def set_block(self, block: Any) -> None:
        self.update_block_value(block.label, block.value)

    def update_block_value(self, label: str, value: str) -> None:
        if label not in self.list_block_labels():
            raise ValueError(f"there is no memory block {label!r}; there are: {', '.join(self.list_block_labels())}")
        self.get_block(label).value = value

    def edits(self) -> list[tuple[str, str, str]]:
        """Label, old value and new value of each block that was changed."""
        for block in self.blocks:
            if not isinstance(block.value, str):
                raise TypeError(f"memory block {block.label!r} holds text, not {type(block.value).__name__}")
        values = {block.label: block.value for block in self.blocks}
        return [(label, old, values[label]) for label, old in self._before.items() if values.get(label, old) != old]


def _unimported(source: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Names that a function cut out of its file uses and cannot import: of `typing`, its argument models, its agent.

    Clients send such functions with their source alone; `schemas` describes the models.
    """
    # Those that it uses: whatever is touched here is a page that the call no longer shares with its zygote.
    names = {name: getattr(typing, name) for name in _WORD.findall(source) if name in _TYPING}
    names["AgentState"] = AgentState
    used = [name for name in schemas if name in source]
    if used:
        models: dict[str, Any] = {}
        names.update({name: _model(name, schemas, models) for name in used})
    return names


def _model(name: str, schemas: dict[str, Any], models: dict[str, Any]) -> Any:
    if name not in models:
        from pydantic import create_model  # costs 100 ms, and most tools have no models

        models[name] = Any  # where a model holds others of its own kind
        schema = schemas[name]
        if "properties" in schema:
            required = schema.get("required", ())
            fields: dict[str, Any] = {
                field: (_type(part, schemas, models), ... if field in required else part.get("default"))
                for field, part in schema["properties"].items()
            }
            models[name] = create_model(name, **fields)
        else:
            models[name] = _type(schema, schemas, models)
    return models[name]


def _type(schema: dict[str, Any], schemas: dict[str, Any], models: dict[str, Any]) -> Any:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _model(name, schemas, models) if name in schemas else Any
    if "enum" in schema:
        return typing.Literal[tuple(schema["enum"])]
    if "anyOf" in schema:
        return functools.reduce(operator.or_, (_type(part, schemas, models) for part in schema["anyOf"]))
    if schema.get("type") == "array":
        return list[_type(schema.get("items", {}), schemas, models)]  # type: ignore[misc]  # made at run time
    return _JSON_TYPES.get(schema.get("type", ""), Any)


def _bind(function: Any, source: str, arguments: dict[str, Any], agent: AgentState | None) -> dict[str, Any]:
    """Turn plain JSON into what the signature asks for, such as Pydantic models."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    bound = dict(arguments)
    for name, value in arguments.items():
        if hints.get(name) is float and isinstance(value, int):
            bound[name] = float(value)  # JSON tells no difference, and Python's methods do
        elif name in hints and not _is_plain(hints[name]):
            from pydantic import TypeAdapter  # costs 100 ms, and most tools take plain arguments

            bound[name] = TypeAdapter(hints[name]).validate_python(value)
    if any(name in source for name in _INJECTED):
        for name in inspect.signature(function).parameters:
            if name in _INJECTED:
                bound[name] = agent if name == "agent_state" else None
    return bound


def _is_plain(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is typing.Literal:
        return True
    if origin is None:
        return hint in _PLAIN or isinstance(hint, typing.TypeVar)
    if origin is typing.Annotated:
        return _is_plain(get_args(hint)[0])
    return origin in _PLAIN and all(_is_plain(arg) for arg in get_args(hint))


def plain(value: Any, depth: int = 0) -> Any:
    """Reduce `value` to what JSON can say; what it cannot say becomes text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else str(value)  # JSON readers elsewhere stop at 64 bits
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if depth > 100:
        return repr(value)
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return plain(value.model_dump(mode="json"), depth + 1)
    if isinstance(value, types.SimpleNamespace):
        return plain(vars(value), depth + 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    return plain(value.value, depth + 1) if isinstance(value, enum.Enum) else _drawn_or_text(value)


def _drawn_or_text(value: Any) -> Any:
    drawn = value if isinstance(value, type | bytes | bytearray) else _drawn(value)
    if isinstance(drawn, bytes | bytearray):
        return _picture(bytes(drawn)) or bytes(drawn).decode("utf-8", "replace")
    return str(drawn)


def _drawn(value: Any) -> Any:
    """The PNG of what can be drawn: images of Pillow, figures of matplotlib and of all that notebooks show."""
    if callable(draw := getattr(value, "_repr_png_", None)):
        picture = draw()
        return value if picture is None else picture
    if callable(save := getattr(value, "savefig", None)):
        import io

        save(buffer := io.BytesIO(), format="png")
        return buffer.getvalue()
    return value


def _picture(data: bytes) -> dict[str, Any] | None:
    """`data` as messages hold a picture; None where it is none that models can look at."""
    kind = next((kind for start, kind in _PICTURES.items() if data.startswith(start)), None)
    if kind == "image/webp" and data[8:12] != b"WEBP":
        kind = None
    if kind is None:
        return None
    import base64  # costs 2 ms, and most tools return no picture

    text = base64.b64encode(data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": text}}


def _describe(error: BaseException, filename: str) -> str:
    """The traceback without this file's frames and the libraries' machinery below the tool's own."""
    if isinstance(error, SystemExit):
        return f"SystemExit: the tool ended its process with {error.code!r} instead of returning a value"
    if isinstance(error, SyntaxError) and error.filename == filename:
        return "".join(traceback.format_exception_only(error)).strip()
    report = traceback.TracebackException.from_exception(error, limit=None)
    chain: traceback.TracebackException | None = report
    seen = 0
    while chain is not None and seen < 10:
        own = [frame for frame in chain.stack if frame.filename == filename]
        chain.stack = traceback.StackSummary.from_list(own)
        chain = chain.__cause__ or chain.__context__
        seen += 1
    return "".join(report.format()).strip()
