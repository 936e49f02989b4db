"""Where log records go: one line each on stderr, for people or for machines."""

import logging
import sys
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from reverie.domain.errors import DatabaseUnavailable

_CHATTY: Final = (
    "uvicorn.error",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "alembic",
    "asyncio",
    "openai",
    "anthropic",
)


def set_up_logs(level: str, *, as_json: bool, access: bool) -> None:
    """Send our records and those of libraries through one renderer.

    To stderr: stdout is for what a command answers.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
        structlog.processors.StackInfoRenderer(),
        _without_known_trace,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _json if as_json else _plain],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO if access else logging.WARNING)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def _without_known_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """An outage of the database is one line wherever it is met: where it came from is known."""
    error = sys.exc_info()[1] if event.get("exc_info") is True else event.get("exc_info")
    if isinstance(error, DatabaseUnavailable):
        del event["exc_info"]
        event["error"] = str(error)
    return event


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(dict(event), default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """`12:00:00 warning reverie.runs.engine: run_lost run_id=…`, then the traceback if there is one."""
    fields = dict(event)
    head = [fields.pop(name, "") for name in ("timestamp", "level", "logger", "event")]
    traceback: Any = fields.pop("exception", None)
    line = f"{head[0]} {head[1]:<7} {head[2]}: {head[3]}{_pairs(list(fields.items()))}"
    return f"{line}\n{traceback}" if traceback else line


def _pairs(fields: Sequence[tuple[str, object]]) -> str:
    return "".join(f" {name}={value!r}" if isinstance(value, str) else f" {name}={value}" for name, value in fields)
