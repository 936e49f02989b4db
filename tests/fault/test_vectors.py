"""kill -9 while vectors are made: what was said is found by its meaning after the restart; archives change models."""

from letta_client import Letta
from tests.support.databases import database_urls
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import provider_environment, running_server
from tests.support.waiting import until


def test_what_was_said_is_found_by_meaning_after_a_kill(provider: Provider, database: str) -> None:
    environment = {**provider_environment(provider), "REVERIE_MESSAGE_VECTORS": "true", "REVERIE_LEASE_S": "2"}
    environment["REVERIE_CRASH_AT"] = "vectors_made"
    with database_urls(database) as url, running_server(url, environment) as server:
        client = server.client
        agent = client.agents.create(model="openai/gpt-4o-mini", include_base_tools=True).id
        other = client.agents.create(model="openai/gpt-4o-mini", include_base_tools=False).id
        provider.script(say("Good for her."))
        client.agents.messages.create(agent, input="My kitten dozes on the radiator all day.")
        server.wait_dead()
        del server.environment["REVERIE_CRASH_AT"]
        client = server.start().client
        provider.script(say("I see."))
        client.agents.messages.create(other, input="The feline of the neighbours naps as well.")

        def meant(**where: str) -> list[str]:
            hits = client.messages.search(query="sleepy cats", search_mode="vector", limit=2, **where)  # type: ignore[arg-type]
            return [str(getattr(hit, "content", None)) for hit in hits]

        until(lambda: "dozes on the radiator" in " ".join(meant(agent_id=agent)), 60)
        assert "neighbours" not in " ".join(meant(agent_id=agent))
        until(lambda: "neighbours" in " ".join(meant()), 60)
        provider.script(call("conversation_search", query="sleepy cats", limit=1), say("Found."))
        answer = client.agents.messages.create(agent, input="What did I tell you?")
        (told,) = [item for item in answer.messages if item.message_type == "tool_return_message"]
        assert "dozes on the radiator" in str(told.tool_return)
        changes_its_model(client)


def changes_its_model(client: Letta) -> None:
    """An archive gets another embedding model; every search meanwhile answers."""
    archive = client.archives.create(name="letters")
    texts = [f"Letter {number} speaks of herring." for number in range(40)]
    client.archives.passages.create_many(archive.id, passages=[{"text": text} for text in (*texts, "A kitten dozes.")])
    client.archives.update(archive.id, extra_body={"embedding": "openai/text-embedding-3-small"})

    def is_made() -> bool:
        hits = client.passages.search(archive_id=archive.id, query="kitten", limit=1)
        assert [hit.passage.text for hit in hits] == ["A kitten dozes."], "words find it all the while"
        embedded = client.passages.search(archive_id=archive.id, query="kitten", limit=50)
        return len(embedded) == 41 and client.archives.retrieve(archive.id).embedding_config is not None

    until(is_made, 60)
    config = client.archives.retrieve(archive.id).embedding_config
    assert config is not None and config.handle == "openai/text-embedding-3-small"
