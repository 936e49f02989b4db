"""Which operations the access tokens of web pages open. Everything that is not in this table is closed to them.

All of it lies below one agent, so the path alone says whether a token's policy covers a request, and nothing has
to be looked up before it is refused.
"""

import re
from typing import Final

from reverie.auth.policy import Access, Policy
from reverie.domain.errors import NotAllowed

_AGENT: Final = "/v1/agents/{agent_id}"

OPEN_TO_PAGES: Final = {
    ("GET", f"{_AGENT}/messages"): Access.READ_MESSAGES,
    ("POST", f"{_AGENT}/messages"): Access.WRITE_MESSAGES,
    ("POST", f"{_AGENT}/messages/stream"): Access.WRITE_MESSAGES,
    ("POST", f"{_AGENT}/messages/async"): Access.WRITE_MESSAGES,
    ("POST", f"{_AGENT}/messages/cancel"): Access.WRITE_MESSAGES,
    ("GET", _AGENT): Access.READ_AGENT,
    ("GET", f"{_AGENT}/core-memory"): Access.READ_AGENT,
    ("GET", f"{_AGENT}/core-memory/blocks"): Access.READ_AGENT,
    ("GET", f"{_AGENT}/core-memory/blocks/{{block_label}}"): Access.READ_AGENT,
    ("GET", f"{_AGENT}/archival-memory"): Access.READ_AGENT,
    ("GET", f"{_AGENT}/archival-memory/search"): Access.READ_AGENT,
    ("GET", f"{_AGENT}/tools"): Access.READ_AGENT,
    ("PATCH", _AGENT): Access.WRITE_AGENT,
    ("PATCH", f"{_AGENT}/core-memory/blocks/{{block_label}}"): Access.WRITE_AGENT,
    ("POST", f"{_AGENT}/archival-memory"): Access.WRITE_AGENT,
    ("DELETE", f"{_AGENT}/archival-memory/{{memory_id}}"): Access.WRITE_AGENT,
}
"""Method and path to what a token needs for the agent. Deleting the agent, attaching to it and whatever reaches beyond
it takes a key; what of an agent a page may change stands in `operations.agents`. A label with a slash is closed too:
its path could be one of those that attach."""

_TABLE: Final = [
    (method, re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))), access)
    for (method, path), access in OPEN_TO_PAGES.items()
]


def require_access(policy: Policy, method: str, path: str) -> None:
    """Pass when a page with this policy may call this.

    Raises:
        NotAllowed: the text names what is missing.
    """
    for open_method, pattern, access in _TABLE:
        found = pattern.fullmatch(path)
        if open_method == method and found is not None:
            policy.require(found["agent_id"], access)
            return
    raise NotAllowed(f"access tokens of pages do not open {method} {path}; call it from your own server, with a key")
