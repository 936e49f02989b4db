"""kill -9 where a schedule's run has just been stored: the time is neither lost nor fired again."""

import time

from tests.conftest import MODEL
from tests.support.databases import database_urls
from tests.support.provider import Provider
from tests.support.server import provider_environment, running_server


def test_a_due_time_is_fired_once_though_the_server_dies_at_it(provider: Provider, database: str) -> None:
    environment = {**provider_environment(provider), "REVERIE_CRASH_AT": "run_accepted"}
    with database_urls(database) as url, running_server(url, environment) as server:
        agent = server.client.agents.create(model=MODEL)
        made = server.client.agents.schedule.create(
            agent.id,
            messages=[{"role": "user", "content": "once"}],
            schedule={"scheduled_at": time.time() * 1000},
        )
        server.wait_dead()
        client = server.restart(REVERIE_CRASH_AT="").client
        found = client.agents.schedule.retrieve(made.id, agent_id=agent.id)
        assert found.next_scheduled_time is None
        assert len(client.runs.list(agent_id=agent.id).items) == 1
        again = client.agents.messages.create(agent.id, input="and now?")
        assert again.stop_reason.stop_reason == "end_turn"
        said = [str(item) for item in client.agents.messages.list(agent.id) if item.message_type == "user_message"]
        assert sum("once" in text for text in said) == 1
