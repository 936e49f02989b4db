"""How a setting is declared, and how the values of variables are read."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from reverie.web.addresses import Network


def setting(
    default: Any,
    *names: str,
    section: str,
    expects: str,
    note: str = "",
    flag: str | None = None,
    secret: bool = False,
    **bounds: Any,
) -> Any:
    """Declare a field: `names` are its variables, the first one ours, the others understood too."""
    extra: dict[str, Any] = {
        "section": section,
        "expects": expects,
        "flag": flag,
        "secret": secret,
        "names": list(names),
    }
    return Field(
        default,
        validation_alias=AliasChoices(*names),
        description=note,
        json_schema_extra=extra,
        repr=not secret,
        **bounds,
    )


def _words(value: object) -> object:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _network(value: object) -> object:
    word = str(value).strip().lower()
    return {"true": "all", "1": "all", "yes": "all", "false": "none", "0": "none", "no": "none"}.get(word, word)


def _handle_numbers(value: object) -> object:
    """Read `handle=number,handle=number`, or the same as a JSON object."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return orjson.loads(value)
    pairs = (item.rpartition("=") for item in value.split(",") if item.strip())
    return {handle.strip(): number.strip() for handle, _, number in pairs}


def _database_url(value: object) -> object:
    """Reduce every spelling to `sqlite:///path` or `postgresql://…`, options as the driver wants them."""
    if not isinstance(value, str):
        return value
    try:
        url = make_url(value.strip())
    except ArgumentError as error:
        raise ValueError("not a URL") from error
    backend = url.get_backend_name()
    if backend in ("postgres", "postgresql"):
        query = {key: text for key, text in url.query.items() if key != "channel_binding"}
        if "sslmode" in query:
            query["ssl"] = query.pop("sslmode")
        if not url.database:
            raise ValueError("the URL names no database")
        return url.set(drivername="postgresql", query=query).render_as_string(hide_password=False)
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("an in-memory database would forget everything")
        return f"sqlite:///{Path(url.database).expanduser().absolute()}"
    raise ValueError(f"{backend!r} is not a database that Reverie can store in")


def _networks(value: object) -> object:
    """Read addresses and ranges separated by commas; a bare address is a range of one."""
    words = _words(value)
    if not isinstance(words, tuple | list):
        return words
    return tuple(ipaddress.ip_network(word) if isinstance(word, str) else word for word in words)


def web_url(value: str) -> str:
    """An address of the web, without the slash at its end."""
    if not value.startswith(("http://", "https://")):
        raise ValueError("an address starts with http:// or https://")
    return value.rstrip("/")


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
HandleNumbers = Annotated[dict[str, Annotated[int, Field(gt=0)]], NoDecode, BeforeValidator(_handle_numbers)]
WebUrl = Annotated[str, BeforeValidator(web_url)]
DatabaseUrl = Annotated[str, BeforeValidator(_database_url)]
ToolNetwork = Annotated[Literal["none", "tagged", "all"], BeforeValidator(_network)]

POSITIVE: Final = "a number greater than 0"
SWITCH: Final = "true or false"
