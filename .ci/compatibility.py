"""Write docs/reference/compatibility.md: every operation of the client SDKs, and ours beyond them.

Usage: PYTHONPATH=. compatibility.py > docs/reference/compatibility.md (`make docs`). Which release knows what stands in
sdk_operations.json, made by sdk_survey.py; the routes are read from the server; the rest stands here.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.support.app import OurRoute, our_routes, refusal
from tests.support.sdk import route_key

ROOT = Path(__file__).resolve().parents[1]
HOSTED = "existed only in the makers' cloud; here it is part of the server"

DIFFERENCES = {
    "POST /v1/agents/{agent_id}/messages": (
        "messages sent at once are answered one after another, and all of them are in the context: the retired server "
        "lost some. A failed run answers with the status of its failure, and with `error_type` and `run_id`"
    ),
    "POST /v1/agents/{agent_id}/messages/stream": "ends with `[DONE]` also when the run failed or was cancelled",
    "GET /v1/agents/{agent_id}/messages": (
        "in the order asked for, newest first by default: the retired server sorted each page oldest first. `after` "
        "goes on in that order, as the SDKs page; `before` means earlier messages in both orders. Without "
        "`conversation_id` the agent's own thread alone, not all its conversations"
    ),
    "GET /v1/conversations/{conversation_id}/messages": (
        "`after` goes on in the order asked for, as the SDKs page: on the retired server it meant later messages, so "
        "that paging newest first showed them again; `before` means earlier messages in both orders"
    ),
    "POST /v1/agents/{agent_id}/messages/cancel": "leaves no call without a result, so that the next message works",
    "POST /v1/conversations/{conversation_id}/cancel": "looks at the conversation, `default` and agents' ids included",
    "POST /v1/runs/{run_id}/stream": "goes on at exactly `starting_after` + 1; 410 for runs that kept no events",
    "GET /v1/models": "chat models only: the retired server listed embedding models of OpenAI among them",
    "POST /v1/tools": "custom tools run in a sandbox that sees neither the server's files nor its keys",
    "POST /v1/tools/run": "runs in the sandbox, like stored tools",
    "POST /v1/agents/{agent_id}/tools/{tool_name}/run": "custom tools run in the sandbox; memory tools change memory",
    "POST /v1/agents/{agent_id}/archival-memory": "keeps to the agent's embedding model",
    "GET /v1/agents/{agent_id}/archival-memory/search": "by words and by meaning, with the agent's embedding model",
    "POST /v1/passages/search": "by words and by meaning",
    "POST /v1/providers": "keys are sealed, and never told again in whatever form",
    "GET /v1/steps/{step_id}/trace": "null when the exchange was not kept, or is not any more; a setting says how long",
    "GET /v1/runs/{run_id}/trace": "spans are made of what is stored about the run",
    "POST /v1/agents": "whole or not at all, also when the twentieth block is wrong",
    "POST /v1/agents/{agent_id}/schedule": HOSTED,
    "GET /v1/agents/{agent_id}/schedule": HOSTED,
    "GET /v1/agents/{agent_id}/schedule/{scheduled_message_id}": HOSTED,
    "DELETE /v1/agents/{agent_id}/schedule/{scheduled_message_id}": HOSTED,
}
"""By verb and path: what a client of the retired server may notice, and why it is so."""

THIN: dict[str, str] = {}
"""The right shape, and less behind it than the name promises: what is missing."""

HEAD = """\
# Compatibility

<!-- Written by `make docs` from .ci/compatibility.py and the routes; change it there. -->

Every operation of the client SDKs (`letta-client` on PyPI, `@letta-ai/letta-client` on npm), {oldest} to {newest}, and
those of this server beyond them. Tests compare every body, query and answer with the types of {oldest} and {newest},
field by field, and drive each operation through the SDK with its strict validation of answers.

- *Since*: the first release of the Python SDK that has the method; {oldest} may stand for an older one.
- *full*: does what its description says. *thin*: the right shape, with less behind it. *refused*: 501 with the reason.

What differs from the retired server everywhere: no path redirects, with or without its last slash; every error is JSON
with `detail`; an id of another organisation is answered like one that does not exist; lists are paged by place, so that
a page costs the same at any depth; JSON with halves of surrogate pairs or NaN is 422.
"""


def compatibility_page() -> str:
    """The whole page, ending in a newline."""
    survey = json.loads((ROOT / ".ci" / "sdk_operations.json").read_text())
    versions = survey["versions"]
    named: dict[tuple[str, str], list[dict[str, str]]] = {}
    for operation in survey["operations"]:
        named.setdefault(route_key(operation["verb"], operation["path"]), []).append(operation)
    counts = {"full": 0, "thin": 0, "refused": 0}
    sections: dict[str, list[str]] = {}
    for key, operations in named.items():
        route = our_routes().get(key)
        state = _state(route)
        counts[state] += 1
        resource = operations[-1]["name"].rpartition(".")[0] or "the client itself"
        sections.setdefault(resource, []).append(_row(operations, route, state, versions[-1]))
    lines = [HEAD.format(oldest=versions[0], newest=versions[-1])]
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines += [f"Of the SDKs' {sum(counts.values())} operations: {told}.", ""]
    lines += ["Releases looked into: " + ", ".join(versions) + ".", "", "## Operations of the SDKs", ""]
    for resource in sorted(sections):
        lines += [f"### {resource}", "", "| Method | Operation | Since | State | Difference |"]
        lines += ["| --- | --- | --- | --- | --- |", *sorted(sections[resource]), ""]
    lines += ["## Operations beyond the SDKs", "", *_others(named)]
    return "\n".join(lines) + "\n"


def _state(route: OurRoute | None) -> str:
    if route is None:
        return "refused"
    return "thin" if f"{route.verb} {route.path}" in THIN else "full"


def _row(operations: list[dict[str, str]], route: OurRoute | None, state: str, newest: str) -> str:
    names = [
        f"`{item['name']}`" + ("" if item["until"] == newest else f" (until {item['until']})") for item in operations
    ]
    verb, path = (operations[-1]["verb"], operations[-1]["path"]) if route is None else (route.verb, route.path)
    why = refusal(path) if route is None else _difference(route)
    since = min((item["since"] for item in operations), key=lambda text: [int(part) for part in text.split(".")])
    return f"| {', '.join(names)} | `{verb} {path}` | {since} | {state} | {why or ''} |"


def _difference(route: OurRoute) -> str:
    key = f"{route.verb} {route.path}"
    if key not in DIFFERENCES and route.path.startswith(("/v1/templates", "/v1/client-side", "/v1/environments")):
        return HOSTED
    return "; ".join(text for text in (THIN.get(key), DIFFERENCES.get(key)) if text)


def _others(named: dict[tuple[str, str], list[dict[str, str]]]) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for key, route in our_routes().items():
        if key in named:
            continue
        said = (route.route.endpoint.__doc__ or "").strip().partition("\n")[0]
        note = "; ".join(text for text in (said.rstrip("."), _difference(route)) if text)
        old = "" if route.route.include_in_schema else " (an older name)"
        row = f"| `{route.verb} {route.path}`{old} | {_state(route)} | {note} |"
        found.setdefault(str(route.route.tags[0]), []).append(row)
    for tag in sorted(found):
        yield from (f"### {tag}", "", "| Operation | State | What it does, and what differs |", "| --- | --- | --- |")
        yield from (*sorted(found[tag]), "")


if __name__ == "__main__":
    print(compatibility_page(), end="")
