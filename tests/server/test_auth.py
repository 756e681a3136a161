"""Nobody gets in by accident."""

from typing import Any

import pytest

from crdtstore.errors import ConfigurationError
from crdtstore.server import application, check_exposure
from crdtstore.server.auth import is_loopback

TOKEN = "t" * 32
SECRET = "s" * 32
GUARDED = ("/v1/profiles", "/v1/changes", "/v1/digest", "/v1/status", "/metrics", "/nothing")


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("mounted_at", ["", "/crdt"])
def test_with_a_token_nothing_is_answered_without_it(serve: Any, mounted_at: str) -> None:
    async def scenario(api: Any) -> None:
        for path in GUARDED:
            for headers in (
                {}, bearer(""), bearer("wrong"), bearer(TOKEN[:-1]), bearer(TOKEN + "x"),
                bearer(SECRET), {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN},
                bearer("ü" * 32),
            ):  # fmt: skip
                problem = await api.problem(401, "unauthorised", "GET", path, headers=headers)
                assert TOKEN not in str(problem)
            response = await api.call("GET", path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
        body = {"source": "crm", "fields": {"x": 1}}
        await api.problem(401, "unauthorised", "PATCH", "/v1/profiles/ann", json=body)
        assert (await api.call("GET", "/v1/digest", headers=bearer(TOKEN))).status == 200
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert (await api.call("GET", path)).status == 200

    serve(scenario, token=TOKEN, link_secret=SECRET, mounted_at=mounted_at)


def test_with_a_token_the_host_may_be_any(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        headers = {**bearer(TOKEN), "Host": "eu.example.com", "Origin": "https://example.com"}
        assert (await api.call("GET", "/v1/digest", headers=headers)).status == 200

    serve(scenario, token=TOKEN)


def test_without_a_token_only_this_machine_and_no_foreign_page_may_ask(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        own = f"{api.client.host}:{api.client.port}"
        for path in ("/v1/digest", "/v1/link", "/metrics"):
            for host in (
                "evil.example",
                "evil.example:80",
                "10.0.0.1",
                "localhost.evil.example",
                "",
            ):
                await api.problem(403, "not-local", "GET", path, headers={"Host": host})
            for origin in ("http://evil.example", "null", f"http://{own}.evil.example", ""):
                await api.problem(403, "cross-site", "GET", path, headers={"Origin": origin})
        same = {"Origin": f"http://{own}"}
        assert (await api.call("GET", "/v1/digest", headers=same)).status == 200
        for host in ("localhost", "localhost:1", "[::1]:8401", "127.0.0.5", "a.localhost"):
            response = await api.call("GET", "/v1/digest", headers={"Host": host})
            assert response.status == 200, host
        evil = {"Origin": "http://evil.example"}
        await api.problem(403, "cross-site", "POST", "/v1/profiles/a/revive", headers=evil)
        await api.problem(403, "cross-site", "DELETE", "/v1/profiles/a", headers=evil)

    serve(scenario)


def test_a_link_needs_its_own_secret(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        for headers in ({}, bearer(TOKEN), bearer(SECRET[:-1])):
            await api.problem(401, "unauthorised", "GET", "/v1/link", headers=headers)
        await api.problem(426, "upgrade-required", "GET", "/v1/link", headers=bearer(SECRET))

    serve(scenario, token=TOKEN, link_secret=SECRET)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3", "::ffff:127.0.0.1"])
def test_loopback_needs_no_secret(host: str) -> None:
    check_exposure(host, None, None)
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.com", "1.localhost.x"])
def test_elsewhere_needs_both_secrets(host: str) -> None:
    for token, secret, named in (
        (None, None, "--token-file"),
        (None, SECRET, "--token-file"),
        (TOKEN, None, "--link-secret-file"),
    ):
        with pytest.raises(ConfigurationError, match=named):
            check_exposure(host, token, secret)
    check_exposure(host, TOKEN, SECRET)


@pytest.mark.parametrize("secret", ["", "short", "x" * 15, "ü" * 20, "a b" * 10, "x" * 5000])
def test_a_weak_secret_is_refused_and_not_quoted(secret: str) -> None:
    for arguments in ((secret, SECRET), (TOKEN, secret)):
        with pytest.raises(ConfigurationError) as caught:
            check_exposure("127.0.0.1", *arguments)
        assert not secret or secret not in str(caught.value)
    with pytest.raises(ConfigurationError):
        application(None, token=secret)  # type: ignore[arg-type]
