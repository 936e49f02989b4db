"""Keys of tool calls: made for one call, good while it runs, and only at the door that sandboxes have.

They live in this process's memory: a call never outlives the process that runs it.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from reverie.auth.keys import USUAL_SCOPES, Caller, Scope, bearer_token
from reverie.domain.errors import NotAuthenticated
from reverie.domain.ids import DEFAULT_USER
from reverie.tools.base import ToolRun

_PREFIX: Final = "sk-call-"


class CallKeys:
    """Who each running call acts for; implements `tools.base.KeysOfCalls`."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}
        self._may_go_out: set[str] = set()

    @contextmanager
    def issued(self, call: ToolRun, *, network: bool) -> Iterator[str]:
        """A key that can do what the call's agent's owner can, settings of the whole organisation left out."""
        token = _PREFIX + secrets.token_urlsafe(32)
        scopes = USUAL_SCOPES if call.scopes is None else frozenset(map(Scope, call.scopes))
        self._callers[token] = Caller(
            organization_id=call.tool.organization_id,
            user_id=call.user_id or DEFAULT_USER,
            scopes=scopes,
            key_id=f"call of {call.tool.id}",
            run_id=None if call.run is None else call.run.id,
        )
        if network:
            self._may_go_out.add(token)
        try:
            yield token
        finally:
            del self._callers[token]
            self._may_go_out.discard(token)

    def may_go_out(self, token: str) -> bool:
        """Whether the running call of `token` may use the network."""
        return token in self._may_go_out

    def identify(self, authorization: str | None) -> Caller:
        """Return whose call sent this `Authorization` header.

        Raises:
            NotAuthenticated: no running call's.
        """
        # Looked up, not compared: 256 random bits that die with the call leave nothing to time.
        caller = self._callers.get(bearer_token(authorization) or "")
        if caller is None:
            raise NotAuthenticated("only a running tool call can use this way in, with the `client` it was given")
        return caller
