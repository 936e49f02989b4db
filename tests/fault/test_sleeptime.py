"""kill -9 around a sleeptime agent's work: it happens once for each time it is due, and nothing said is missed."""

import contextlib

from letta_client import APIError, Letta
from tests.conftest import MODEL
from tests.support.databases import database_urls
from tests.support.provider import Provider
from tests.support.replies import call, hang, reply
from tests.support.server import Server, provider_environment, running_server
from tests.wire.test_groups import ask
from tests.wire.test_sleeptime import ended_reviews, sleeps

FINISH = reply(call("memory_finish_edits"))


def _main(server: Server) -> tuple[str, str]:
    """An agent whose companion is due after each turn, and that companion."""
    made = server.client.agents.create(
        model=MODEL, memory_blocks=[{"label": "human", "value": ""}], enable_sleeptime=True
    )
    assert made.managed_group is not None
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": 1}
    ask(server, "PATCH", f"/v1/groups/{made.managed_group.id}", json={"manager_config": config})
    return made.id, made.managed_group.agent_ids[0]


def _say(client: Letta, agent_id: str, words: str) -> None:
    with contextlib.suppress(APIError, OSError):
        client.agents.messages.create(agent_id, input=words)


def test_a_review_that_was_due_when_the_server_died_is_held_once_after_its_restart(
    provider: Provider, database: str
) -> None:
    crashing = {**provider_environment(provider), "REVERIE_CRASH_AT": "run_ended"}
    with database_urls(database) as url, running_server(url, crashing) as server:
        main, companion = _main(server)
        _say(server.client, main, "remember me")
        server.wait_dead()
        assert not [request for request in provider.requests if sleeps(request)]
        provider.script(FINISH, when=sleeps)
        del server.environment["REVERIE_CRASH_AT"]
        server.start()
        (run,) = ended_reviews(server.client, companion, 1)
        assert run.status == "completed"
        read = [request for request in provider.requests if sleeps(request)]
        assert "user: remember me" in read[0].text
        server.restart()
        _say(server.client, main, "and me")
        provider.script(FINISH, when=sleeps)
        ended_reviews(server.client, companion, 2)
        last = [request for request in provider.requests if sleeps(request)][-1]
        assert "user: and me" in last.text
        assert "remember me" not in last.text
        assert len(list(server.client.runs.list(agent_id=companion))) == 2


def test_a_review_that_died_with_the_server_is_gone_on_with_and_none_is_held_beside_it(
    own_server: Server, provider: Provider
) -> None:
    main, companion = _main(own_server)
    gate = provider.gate("slow")
    provider.script(hang(gate), when=sleeps)
    _say(own_server.client, main, "remember me")
    provider.wait_for_requests(2)
    own_server.kill()
    provider.reset()
    provider.script(FINISH, when=sleeps)
    own_server.start()
    (run,) = ended_reviews(own_server.client, companion, 1)
    assert run.status == "completed"
    (read,) = [request for request in provider.requests if sleeps(request)]
    assert "user: remember me" in read.text
    provider.script(FINISH, when=sleeps)
    _say(own_server.client, main, "and me")
    ended_reviews(own_server.client, companion, 2)
    last = [request for request in provider.requests if sleeps(request)][-1]
    assert "user: and me" in last.text
