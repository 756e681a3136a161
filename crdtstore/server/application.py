"""The aiohttp application over one replica: served by itself, or mounted under a prefix.

app.add_subapp("/crdt", application(replica, token=token))
"""

from aiohttp import hdrs, web

from crdtstore.replica.replica import Replica
from crdtstore.server import (
    backup,
    changes,
    collaboration,
    conflicts,
    deltas,
    erasures,
    exports,
    link,
    listing,
    membership,
    metrics,
    openapi,
    persons,
    profiles,
    status,
    stream,
    texts,
    writes,
)
from crdtstore.server.auth import auth_middleware, check_secret
from crdtstore.server.observation import observation_middleware
from crdtstore.server.problems import problem_middleware
from crdtstore.server.service import SERVICE, Service
from crdtstore.server.websockets import close_all

_ROUTES = (
    (hdrs.METH_GET, "/v1/profiles", listing.list_profiles),
    (hdrs.METH_GET, "/v1/profiles/{id:[^/]+}", profiles.get_profile),
    (hdrs.METH_PATCH, "/v1/profiles/{id:[^/]+}", profiles.patch_profile),
    (hdrs.METH_DELETE, "/v1/profiles/{id:[^/]+}", profiles.delete_profile),
    (hdrs.METH_GET, "/v1/profiles/{id:[^/]+}/explain", profiles.explain_profile),
    (hdrs.METH_POST, "/v1/profiles/{id:[^/]+}/revive", profiles.revive_profile),
    (hdrs.METH_GET, "/v1/count", listing.count_profiles),
    (hdrs.METH_GET, "/v1/export", exports.get_export),
    (hdrs.METH_GET, "/v1/profiles/{id:[^/]+}/texts/{field:[^/]+}", texts.get_text),
    (hdrs.METH_GET, "/v1/profiles/{id:[^/]+}/texts/{field:[^/]+}/history", texts.get_history),
    (hdrs.METH_GET, "/v1/profiles/{id:[^/]+}/texts/{field:[^/]+}/delta", deltas.get_delta),
    (hdrs.METH_POST, "/v1/profiles/{id:[^/]+}/texts/{field:[^/]+}/delta", deltas.post_delta),
    (
        hdrs.METH_GET,
        "/v1/collaboration/{id:[^/]+}/{field:[^/]+}",
        collaboration.get_collaboration,
    ),
    (hdrs.METH_GET, "/v1/persons", persons.find_person),
    (hdrs.METH_DELETE, "/v1/persons", erasures.erase_person),
    (hdrs.METH_GET, "/v1/persons/export", erasures.export_person),
    (hdrs.METH_GET, "/v1/persons/explain", erasures.explain_found),
    (hdrs.METH_GET, "/v1/erasures", erasures.list_erasures),
    (hdrs.METH_GET, "/v1/erasures/{id:[^/]+}", erasures.get_erasure),
    (hdrs.METH_POST, "/v1/erasures/{id:[^/]+}/lift", erasures.lift_erasure),
    (hdrs.METH_POST, "/v1/persons/merge", persons.merge_persons),
    (hdrs.METH_POST, "/v1/persons/unmerge", persons.unmerge_persons),
    (hdrs.METH_POST, "/v1/persons/not-match", persons.forbid_match),
    (hdrs.METH_POST, "/v1/persons/pin", persons.pin_value),
    (hdrs.METH_POST, "/v1/persons/ignore", persons.ignore_candidate),
    (hdrs.METH_POST, "/v1/persons/regard", persons.regard_candidate),
    (hdrs.METH_GET, "/v1/persons/{id:[^/]+}", persons.get_person),
    (hdrs.METH_GET, "/v1/persons/{id:[^/]+}/explain", persons.explain_person),
    (hdrs.METH_POST, "/v1/writes", writes.post_writes),
    (hdrs.METH_GET, "/v1/stream", stream.get_stream),
    (hdrs.METH_GET, "/v1/changes", changes.get_changes),
    (hdrs.METH_GET, "/v1/conflicts", conflicts.list_conflicts),
    (hdrs.METH_GET, "/v1/conflicts/{id:[^/]+}", conflicts.get_conflict),
    (hdrs.METH_POST, "/v1/conflicts/{id:[^/]+}/choose", conflicts.choose_value),
    (hdrs.METH_GET, "/v1/digest", status.get_digest),
    (hdrs.METH_GET, "/v1/peers", status.get_peers),
    (hdrs.METH_GET, "/v1/status", status.get_status),
    (hdrs.METH_GET, "/v1/verify", status.get_verify),
    (hdrs.METH_POST, "/v1/repair", status.post_repair),
    (hdrs.METH_GET, "/v1/replicas", membership.get_replicas),
    (hdrs.METH_DELETE, "/v1/replicas/{name:[^/]+}", membership.delete_replica),
    (hdrs.METH_GET, "/v1/backup", backup.get_backup),
    (hdrs.METH_GET, "/v1/link", link.get_link),
    (hdrs.METH_GET, "/healthz", status.get_health),
    (hdrs.METH_GET, "/readyz", status.get_readiness),
    (hdrs.METH_GET, "/metrics", metrics.get_metrics),
    (hdrs.METH_GET, "/openapi.json", openapi.get_openapi),
)

_OPEN_HANDLERS = frozenset(
    {status.get_health, status.get_readiness, openapi.get_openapi, link.get_link}
)


_QUERY_TOKEN_HANDLERS = frozenset({collaboration.get_collaboration})

_WITHOUT_HEAD = frozenset(
    {
        collaboration.get_collaboration,
        link.get_link,
        stream.get_stream,
        changes.get_changes,
        backup.get_backup,
        exports.get_export,
    }
)


def application(
    replica: Replica, *, token: str | None = None, link_secret: str | None = None
) -> web.Application:
    """Return an application that serves a replica; the replica stays the caller's to close.

    ``token`` is the bearer token of the API and ``link_secret`` the one of links. Without one, its
    endpoints answer callers on this machine only. Raises ConfigurationError for a weak secret.
    """
    check_secret("the API token", token)
    check_secret("the link secret", link_secret)
    app = web.Application(middlewares=[observation_middleware, problem_middleware, auth_middleware])
    app[SERVICE] = Service(replica, token, link_secret, _OPEN_HANDLERS, _QUERY_TOKEN_HANDLERS)
    for method, path, handler in _ROUTES:
        app.router.add_route(method, path, handler)
        if method == hdrs.METH_GET and handler not in _WITHOUT_HEAD:
            app.router.add_route(hdrs.METH_HEAD, path, handler)
    app.on_shutdown.append(_shut_down)
    return app


async def _shut_down(app: web.Application) -> None:
    """End what would not end by itself: followers of the change feed, streams, and links."""
    service = app[SERVICE]
    service.closing.set()
    await close_all(service.links)
    await close_all(service.collaborators)
