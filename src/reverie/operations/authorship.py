"""How a caller is written into histories."""

from reverie.auth.keys import Caller
from reverie.domain.json import JsonObject


def actor_of(caller: Caller) -> JsonObject:
    """The actor of a change made over the API."""
    return {"kind": "api", "user_id": caller.user_id, "key_id": caller.key_id}
