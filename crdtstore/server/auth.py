"""Who may come in: the bearer token of the API, the secret of links, and loopback without them.

Without a token an application answers only callers on this machine, and of those no web page of
somebody else: the Host header must name loopback (DNS rebinding) and an Origin, if there is one,
must be the application's own.
"""

import hmac
import ipaddress

from aiohttp import hdrs, web

from crdtstore import limits
from crdtstore.errors import ConfigurationError
from crdtstore.server.problems import Handler, Problem
from crdtstore.server.service import service_of


def check_exposure(host: str, token: str | None, link_secret: str | None) -> None:
    """Refuse to listen where others can reach us without both secrets; raises ConfigurationError.

    ``host`` is the address to listen on. Secrets that are too short are refused everywhere.
    """
    check_secret("the API token", token)
    check_secret("the link secret", link_secret)
    if is_loopback(host) or (token is not None and link_secret is not None):
        return
    missing = [
        words
        for secret, words in (
            (token, "an API token (--token-file or CRDTSTORE_TOKEN)"),
            (link_secret, "a link secret (--link-secret-file or CRDTSTORE_LINK_SECRET)"),
        )
        if secret is None
    ]
    raise ConfigurationError(
        f"listening on {host!r} lets other machines in, which needs {' and '.join(missing)}; "
        "or listen on 127.0.0.1"
    )


def check_secret(what: str, secret: str | None) -> None:
    """Check the form of a secret, without ever quoting it; raises ConfigurationError."""
    if secret is None:
        return
    size = len(secret.encode("utf-8", "surrogateescape"))
    if not limits.SECRET_BYTES_MIN <= size <= limits.SECRET_BYTES_MAX:
        raise ConfigurationError(
            f"{what} has {size} bytes; it takes {limits.SECRET_BYTES_MIN} to "
            f"{limits.SECRET_BYTES_MAX:,}. Make one with: openssl rand -hex 32"
        )
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigurationError(f"{what} may only have visible ASCII characters")


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine's loopback."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@web.middleware
async def auth_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through if it carries the API token, or comes from this machine without one.

    The handlers of ``Service.open_handlers`` are asked by anybody, or check a secret themselves.
    """
    service = service_of(request)
    if request.match_info.handler not in service.open_handlers:
        takes_query = request.match_info.handler in service.query_token_handlers
        given = request.query.get("token") if takes_query else None
        check_caller(request, service.token, "API token", given=given)
    return await handler(request)


def check_caller(
    request: web.Request, secret: str | None, what: str, *, given: str | None = None
) -> None:
    """Check one request against a secret, or for loopback if there is none; raises a problem.

    ``given`` is what the request carries, if that is not in its header.
    """
    if secret is None:
        _check_local(request, what)
        return
    header = f"Bearer {given}" if given else request.headers.get(hdrs.AUTHORIZATION, "")
    scheme, _, credentials = header.partition(" ")
    one = credentials.strip().encode("utf-8", "surrogateescape")
    other = secret.encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(one, other) or scheme.lower() != "bearer":
        raise Problem(
            401,
            "unauthorised",
            "The request does not say who it is",
            f"send the {what} of this replica as: Authorization: Bearer <{what}>",
            headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="crdtstore"'},
        )


def _check_local(request: web.Request, what: str) -> None:
    """Refuse callers that are not on this machine, and web pages of other sites."""
    remote = request.remote
    host = _host_name(request.headers.get(hdrs.HOST, ""))
    if (remote and not is_loopback(remote)) or not is_loopback(host):
        raise Problem(
            403,
            "not-local",
            "Only this machine may ask",
            f"no {what} is configured, so only requests to a loopback name from this machine "
            "are answered",
        )
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin.partition("://")[2] != request.headers[hdrs.HOST]:
        raise Problem(
            403,
            "cross-site",
            "Web pages of other sites may not ask",
            f"the Origin of this request is not this server, and no {what} is configured",
        )


def _host_name(authority: str) -> str:
    """Return the host of a Host header, without its port."""
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]
