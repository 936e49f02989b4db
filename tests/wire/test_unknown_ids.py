"""What is not there is 404, on every route that names something, and the answer says what is missing."""

import re
import uuid
from typing import Any

import pytest
from fastapi.params import File
from letta_client import Letta, NotFoundError, UnprocessableEntityError
from tests.support.app import OurRoute
from tests.support.server import Server
from tests.unit.api.test_every_route import WITH_IDS, WITH_NEEDS, concrete, id_forms

from reverie.api.describe import body_name
from reverie.api.examples import EXAMPLES

QUERY = {"query": "x", "time": "2026-01-01T00:00:00Z", "from_version": "1", "to_version": "2"}
"""Values for what some queries must have."""


def request_of(route: OurRoute) -> dict[str, Any]:
    """What makes a request of the right form, but for its path."""
    if route.route.body_field is None:
        return {"params": QUERY}
    if isinstance(route.route.body_field.field_info, File):
        return {"params": QUERY, "files": {"file": ("a.txt", b"text")}}
    return {"params": QUERY, "json": EXAMPLES.get(body_name(route.route) or "", {})}


def test_what_is_not_there_is_404_and_named(server: Server) -> None:
    with server.http as http:
        for route in WITH_IDS:
            unknown = {name: f"{prefix}{uuid.uuid4()}" for name, prefix in id_forms(route).items()}
            path = route.path.replace("{version}", "1")
            for name in set(re.findall(r"\{(\w+)\}", path)):
                path = path.replace(f"{{{name}}}", unknown.get(name, "nobody"))
            answer = http.request(route.verb, path, **request_of(route))
            assert answer.status_code == 404, f"{route}: {answer.status_code} {answer.text}"
            assert any(value in str(answer.json()["detail"]) for value in unknown.values()), f"{route}: {answer.text}"


def test_the_sdk_raises_its_own_errors(client: Letta) -> None:
    for route in WITH_NEEDS:
        if route.verb == "POST" and not isinstance(route.route.body_field.field_info, File):  # type: ignore[union-attr]
            with pytest.raises(UnprocessableEntityError) as malformed:
                client.post(concrete(route), cast_to=object, body=[1])
            assert malformed.value.body["detail"][0]["loc"][0] == "body"  # type: ignore[index]
    with pytest.raises(NotFoundError) as missing:
        client.agents.retrieve(f"agent-{uuid.uuid4()}")
    assert "agent-" in missing.value.body["detail"]  # type: ignore[index]
