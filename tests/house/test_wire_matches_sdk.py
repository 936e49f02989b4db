"""Our wire models against the types of both client SDKs, operation by operation and field by field.

Nothing is listed here but what differs, each with its reason: the operations and their types are
read from the SDKs' own source, ours from the routes.
"""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import reduce
from operator import or_
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter
from tests.support.app import OurRoute, our_routes, refusal
from tests.support.sdk import (
    NEWEST,
    VERSIONS,
    NotInstalled,
    SdkOperation,
    sdk_operations,
    sdk_types,
)
from tests.support.shapes import Fault, Fit, Shape, inside, leaves, shape_of, tags_of

from reverie.api.encode.sse import StreamEvent
from reverie.api.wire.models import guessed_model, model_settings_state
from reverie.api.wire.tools import rule_state, rule_to_domain
from reverie.domain.provider_words import SettingsType

BY_VALUE = "stored as it was sent and read; a test below checks it by value"
ANSWERS_DIFFER = {
    "AgentState.model_settings": BY_VALUE,
    "CompactionSettings.model_settings": BY_VALUE,
    "AgentState.tool_rules[]": BY_VALUE,
    "steps.trace.retrieve": "null where nothing was kept, which the SDK's method says it may return",
    "agents.export_file": "a file: the SDK hands on its text, whatever it is",
    "Step.messages[]": "always empty: deprecated for the step's own path of messages",
}
NEWER_ANSWERS_DIFFER = {
    "Conversation.model_settings": BY_VALUE,
    "SummaryMessage.compaction_stats": "stored JSON, shown only when it has what the SDK insists on",
    "EventMessage.event_type": "imported conversations may hold events of other kinds",
    "Folder.vector_db_provider": "folders and sources are answered alike, and this SDK's `Source` has it",
    "Conversation.isolated_block_ids": "in the API description, and newer than the SDKs, which ignore it",
}
OLDER_ANSWERS_DIFFER = {
    "CompactionSettings.model": "1.7.1 insists on it; since then null means the agent's own model",
    "CompactionSettings.mode": "1.7.1 knows two of the four ways, and reads the others as plain words",
    "ToolReturn.tool_return": "images in results came after 1.7.1",
    "message_type=summary_message": "1.7.1 called it `summary`",
    "message_type=event_message": "1.7.1 has no event messages",
    "*.stop_reason": "`insufficient_credits` came after 1.7.1",
    "AgentState.last_stop_reason": "`insufficient_credits` came after 1.7.1",
    "*.model_endpoint_type": "some providers came after 1.7.1",
    "*.provider_type": "some providers came after 1.7.1",
    "*.effort": "`xhigh` and `max` came after 1.7.1",
    "RequestConfig.include_return_message_types[]": "two types of messages came after 1.7.1",
    "Archive.embedding_config": "1.7.1 insists on it; an archive whose model is chosen at its first passage has none",
}
STREAMS_DIFFER = {
    "message_type=summary_message": "sent only when asked for; the SDKs hand on what they do not know",
    "message_type=event_message": "sent only when asked for; the SDKs hand on what they do not know",
}
BODIES_DIFFER = {
    "Body_import_agents_*": "a form with a file, and one parameter that is a header",
    "Body_upload_file_*": "a form with a file; the SDKs send the rest of its parameters in the query",
    "ContentBody.*": "parts that only a model writes, and signatures, are taken and not looked at",
}
QUERIES_DIFFER: dict[str, str] = {}
NEVER_COMPARED = {
    "tool.BaseTool": "1.7.1: programs derive tools from it, and its source is what is sent",
}


@pytest.fixture(scope="module", params=VERSIONS)
def sdk(request: pytest.FixtureRequest) -> str:
    """A version of the SDK."""
    version: str = request.param
    try:
        sdk_operations(version)
    except NotInstalled as missing:
        pytest.skip(str(missing))
    return version


def answered(version: str) -> Iterator[tuple[SdkOperation, OurRoute]]:
    """Operations that this server has, with their routes."""
    for operation in sdk_operations(version):
        route = our_routes().get(operation.route)
        if route is not None:
            yield operation, route


def unexcused(faults: list[Fault], excuses: dict[str, str], used: set[str]) -> str:
    """Faults that nothing excuses, each once; the excuses that were needed go into `used`."""
    left: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        excuse = next((key for key in excuses if fnmatchcase(fault.at, key.replace("[", "[[]"))), None)
        if excuse is None:
            left.setdefault((fault.at, fault.what), fault)
        else:
            used.add(excuse)
    return "\n".join(str(fault) for fault in left.values())


def test_every_operation_of_the_sdk_has_a_route_or_a_reason(sdk: str) -> None:
    lost = [
        f"{operation.name}: {operation.verb} {operation.path}"
        for operation in sdk_operations(sdk)
        if operation.route not in our_routes() and refusal(operation.path) is None
    ]
    assert lost == []


def test_the_sdk_can_read_every_answer(sdk: str) -> None:
    fit = Fit(extra=sdk == NEWEST, missing=True)
    faults: list[Fault] = []
    for operation, route in answered(sdk):
        if operation.answer is None:
            continue
        if not route.is_json:
            faults.append(Fault(operation.name, "answers no JSON", ""))
            continue
        faults += fit.faults(route.answer, operation.answer, "", operation.name)
    excuses = ANSWERS_DIFFER | (NEWER_ANSWERS_DIFFER if sdk == NEWEST else OLDER_ANSWERS_DIFFER)
    used: set[str] = set()
    assert unexcused(faults, excuses, used) == "", "mend it, or say why in …ANSWERS_DIFFER"
    assert set(excuses) - used == set(), "these differences are gone; remove their reasons"


def test_the_sdk_can_read_every_event_of_a_stream(sdk: str) -> None:
    fit = Fit(extra=False, missing=False)
    faults: list[Fault] = []
    streams = [(operation, route) for operation, route in answered(sdk) if operation.event is not None]
    assert streams
    for operation, route in streams:
        assert route.streams, f"{operation.name} does not stream"
        faults += fit.faults(StreamEvent, operation.event, "", operation.name)
    excuses = {**ANSWERS_DIFFER, **NEWER_ANSWERS_DIFFER, **OLDER_ANSWERS_DIFFER, **STREAMS_DIFFER}
    assert unexcused(faults, excuses, set()) == "", "mend it, or say why in STREAMS_DIFFER"


def test_the_server_takes_every_body(sdk: str) -> None:
    fit = Fit(extra=True, missing=False, checked=True)
    faults: list[Fault] = []
    for operation, route in answered(sdk):
        for shape in shapes_of(operation, operation.body):
            faults += fit.faults(shape, route.body, "", operation.name)
    used: set[str] = set()
    assert unexcused(faults, BODIES_DIFFER, used) == "", "mend it, or say why in BODIES_DIFFER"
    assert set(BODIES_DIFFER) == used, "these differences are gone; remove their reasons"


def test_the_server_takes_every_query(sdk: str) -> None:
    fit = Fit(extra=True, missing=False, checked=True)
    faults: list[Fault] = []
    for operation, route in answered(sdk):
        for shape in shapes_of(operation, operation.query):
            for fault in fit.faults(without_null(shape), route.query, "", operation.name):
                faults.append(replace(fault, at=f"{operation.name}.{fault.at}"))
    used: set[str] = set()
    assert unexcused(faults, QUERIES_DIFFER, used) == "", "mend it, or say why in QUERIES_DIFFER"
    assert set(QUERIES_DIFFER) == used, "these differences are gone; remove their reasons"


def shapes_of(operation: SdkOperation, names: frozenset[str]) -> Iterator[Shape]:
    """What the operation sends in one place; more than one where its parameters have variants."""
    for variant in leaves(operation.params) if names else []:
        shape = shape_of(variant)
        assert shape is not None, operation.name
        yield Shape(shape.name, {name: part for name, part in shape.parts.items() if name in names})


def without_null(shape: Shape) -> Shape:
    """A query: what is null is not sent."""
    parts = {name: replace(part, annotation=without(type(None), part.annotation)) for name, part in shape.parts.items()}
    return Shape(shape.name, parts)


def without(kind: type, annotation: Any) -> Any:
    """A union without one of its members."""
    return reduce(or_, (leaf for leaf in leaves(annotation) if leaf is not kind))


def test_no_type_of_the_sdk_is_left_out(sdk: str) -> None:
    reached: set[int] = set()
    for operation in sdk_operations(sdk):
        for annotation in (operation.params, operation.answer, operation.event):
            walk(annotation, reached)
    left = {name for name, cls in sdk_types(sdk).items() if id(cls) not in reached}
    assert {name for name in left if not any(fnmatchcase(name, known) for known in NEVER_COMPARED)} == set()


def walk(annotation: Any, reached: set[int]) -> None:
    """Every class that can be reached from `annotation` goes into `reached`."""
    for leaf in leaves(annotation):
        shape = shape_of(leaf)
        if id(leaf) in reached or leaf in (None, type(None)):
            continue
        if shape is None:
            walk_inside(leaf, reached)
            continue
        reached |= {id(leaf), *(id(parent) for parent in getattr(leaf, "__orig_bases__", ()))}
        for part in shape.parts.values():
            walk(part.annotation, reached)


def walk_inside(leaf: Any, reached: set[int]) -> None:
    """The same for what a list or a dictionary holds."""
    inner = inside(leaf)
    if inner is not Any and inner is not leaf:
        walk(inner, reached)


def test_stored_model_settings_are_what_the_sdk_reads(sdk: str) -> None:
    settings = {"max_output_tokens": 9, "temperature": 0.1, "parallel_tool_calls": True}
    field = field_of(sdk, "agent_state.AgentState", "model_settings")
    known = {word for leaf in leaves(field) for word in tags_of(leaf).get("provider_type", ())}
    ours = set(get_args(SettingsType))
    assert (known >= ours) if sdk == NEWEST else (known <= ours)
    for word in sorted(known & ours):
        state = model_settings_state(settings, guessed_model(f"{word}/some-model"))
        found = TypeAdapter(field).validate_python(state)
        assert (found.provider_type, found.max_output_tokens, found.temperature) == (word, 9, 0.1)


def field_of(sdk: str, cls: str, name: str) -> Any:
    """The type of a field of one of the SDK's classes, without null."""
    shape = shape_of(sdk_types(sdk)[cls])
    assert shape is not None
    return without(type(None), shape.parts[name].annotation)


def test_stored_rules_are_what_the_sdk_reads(sdk: str) -> None:
    for kind in leaves(inside(field_of(sdk, "agent_state.AgentState", "tool_rules"))):
        minimal = {
            name: SAMPLES[name] for name, part in kind.model_fields.items() if part.is_required() and name in SAMPLES
        }
        word = leaves(kind.model_fields["type"].annotation)[0].__args__[0]
        body = TypeAdapter(type_of_rule_bodies()).validate_python({**minimal, "type": word})
        found = TypeAdapter(kind).validate_python(rule_state(rule_to_domain(body)), strict=True)
        assert found.type == word


SAMPLES: dict[str, Any] = {
    "tool_name": "look",
    "children": ["leap"],
    "child_output_mapping": {"yes": "leap"},
    "max_count_limit": 2,
}


def type_of_rule_bodies() -> Any:
    """What a tool rule may be in a body."""
    body = our_routes()["POST", "/v1/agents"].body
    (rules,) = [leaf for leaf in leaves(body.model_fields["tool_rules"].annotation) if leaf is not type(None)]
    return inside(rules)
