"""The service with segments and projections: what a configuration asks for runs and tells."""

import asyncio
from pathlib import Path

import pytest

from crdtstore.errors import ConfigurationError
from replicas.cdp.command import build_parser
from replicas.cdp.configuration import load_configuration
from replicas.cdp.projections.position import FOLLOWING
from replicas.cdp.projections.projection import Projection
from tests.patience import until
from tests.replicas.cdp.projections.servers import postgresql_server, redis_server
from tests.replicas.cdp.service import beside, write_config

SEGMENTS = """
[segments.gold]
description = "Pays for gold"
all = [{ field = "plan", eq = "gold" }]
"""


def is_following(projection: Projection) -> bool:
    """Say whether a projection has loaded all persons."""
    return projection.position is not None and projection.position.state == FOLLOWING


def test_events_become_segments_and_rows(tmp_path: Path) -> None:
    async def main(redis: str, postgresql: str) -> None:
        (tmp_path / "segments.toml").write_text(SEGMENTS)
        (tmp_path / "address").write_text(f"{postgresql}\n")
        more = f"""
segments_file = "segments.toml"
[projections.redis]
url = "{redis}"
[projections.postgresql]
url_file = "address"
"""
        config = write_config(tmp_path, more)
        async with beside(config) as (service, sender):
            identify = {"type": "identify", "userId": "7", "traits": {"plan": "gold"}}
            status, _ = await sender.batch(identify)
            assert status == 200
            projections = service.followers.projections
            events = projections["postgresql_events"]
            await until(lambda: events.counters["events"] == 1, "the event's row")
            segments = service.followers.segments
            assert segments is not None
            await until(lambda: segments.counters["entered"] == 1, "the segment")
            listed = await sender.get("/cdp/segments")
            assert [(each["name"], each["size"]) for each in listed["segments"]] == [("gold", 1)]
            rows = [projections["redis"], projections["postgresql"]]
            await until(lambda: all(each.counters["persons"] for each in rows), "both to follow")
            await until(lambda: all(map(is_following, rows)), "the end of the load")
            shown = await sender.get("/cdp/projections")
            assert shown["redis"]["state"] == shown["postgresql"]["state"] == "following"
            assert shown["postgresql_events"]["behind"] == 0
            async with sender.client.get(sender.own + "/cdp/metrics") as answer:
                text = await answer.text()
            assert 'cdp_followed_total{what="entered",who="segments"} 1.0' in text
            assert 'cdp_lag_seconds{who="redis"}' in text
            parser = build_parser()
            for words in (["projections", "status"], ["projections", "rebuild", "redis"]):
                arguments = parser.parse_args([*words, "--config", str(config)])
                run = arguments.run
                code = await asyncio.to_thread(run, load_configuration(config), arguments)
                assert code == 0
            redis_rows = projections["redis"]
            await until(lambda: redis_rows.counters["rebuilds"] == 2, "the rebuild")
            url = f"{sender.own}/cdp/projections/none/rebuild"
            async with sender.client.post(url) as answer:
                assert answer.status == 404

    with redis_server() as redis, postgresql_server() as postgresql:
        asyncio.run(main(redis.url, postgresql.url))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('segments_file = "none.toml"', "cannot read"),
        ("[projections.mongo]", "redis, postgresql"),
        ("[projections.redis]", "one of url and url_file"),
        ('[projections.redis]\nurl = "http://x"', "begins with redis://"),
        ('[projections.redis]\nurl = "redis://x"\nprefix = ""', "prefix is a text"),
        ('[projections.redis]\nurl = "redis://x"\nport = 3', "'port' is not known"),
        ('[projections.postgresql]\nurl = "postgresql://x:port/y"', "begins with postgresql://"),
        ('[projections.postgresql]\nurl = "postgresql://x/y"\nschema = "A b"', "small letters"),
        ('[projections.postgresql]\nurl_file = "none"', "cannot read"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(write_config(tmp_path, more))
    assert told in str(caught.value)
