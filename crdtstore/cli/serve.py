"""``crdtstore serve``: one replica behind its HTTP API, until a signal ends it."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket

from crdtstore import limits
from crdtstore.cli.configuration import ServeConfiguration, serve_configuration
from crdtstore.errors import ConfigurationError
from crdtstore.logs import LOG_FORMS, LOG_LEVELS, configure_logging
from crdtstore.replica.loop_delay import event_loop_name

_log = logging.getLogger("crdtstore.serve")

EPILOG = """\
examples:
  crdtstore serve --name eu --data ./eu --listen 127.0.0.1:8401 --peer http://127.0.0.1:8402
  crdtstore serve --config eu.toml --log-format json
  CRDTSTORE_NAME=eu CRDTSTORE_DATA=./eu crdtstore serve

Every setting has a flag (--name), a variable (CRDTSTORE_NAME) and a line in the TOML file
(name = "eu"); the flag goes first, then the variable, then the file. Peers are a list in the file
and separated by commas in CRDTSTORE_PEERS. Variable and file also know cache_bytes,
map_bytes_initial, map_bytes_max, journal_retention_ms, acknowledged_retention_ms,
journal_bytes_max, clock_skew_ms_max, commit_interval_ms, erasure_grace_ms and witness_directory.

Without secrets the server listens on loopback only. To let others in, give both an API token
(--token-file or CRDTSTORE_TOKEN) and a link secret (--link-secret-file or CRDTSTORE_LINK_SECRET).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of serve."""
    add = parser.add_argument
    add("--name", help="name of this replica, for instance its region")
    add("--data", metavar="DIRECTORY", help="data directory, made if absent")
    add("--listen", metavar="HOST:PORT", help="where to listen (127.0.0.1:8401)")
    add(
        "--peer",
        metavar="URL",
        dest="peers",
        action="append",
        help="another replica; one end of each link is enough (may be repeated)",
    )
    add("--space", help='the space that is replicated ("default")')
    add("--schema", metavar="FILE", help="schema in TOML; without one every field is a register")
    add("--config", metavar="FILE", help="settings in TOML")
    add("--token-file", metavar="FILE", help="file with the bearer token of the API")
    add("--link-secret-file", metavar="FILE", help="file with the secret that links share")
    add("--suppression-key-file", metavar="FILE", help="file with the key of erased identifiers")
    add("--log-format", choices=LOG_FORMS, help="form of the log lines (human)")
    add("--log-level", choices=LOG_LEVELS, help="least level that is logged (info)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return 0 if everything was closed in order."""
    configuration = serve_configuration(vars(arguments), os.environ)
    configure_logging(configuration.log_format, configuration.log_level)
    from crdtstore.server import run_as_server

    return run_as_server(serve(configuration))


async def serve(configuration: ServeConfiguration) -> int:
    """Open the replica, listen, and drain when a signal comes."""
    from aiohttp import web

    from crdtstore.replica.replica import Replica
    from crdtstore.schema import Schema
    from crdtstore.server import application, check_exposure
    from crdtstore.server.observation import http_log

    check_exposure(configuration.host, configuration.token, configuration.link_secret)
    allow_open_files()
    schema = Schema.load(configuration.schema) if configuration.schema else Schema()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with contextlib.closing(bind(configuration.host, configuration.port)) as listener:
        async with Replica.open(
            configuration.data,
            name=configuration.name,
            space=configuration.space,
            schema=schema,
            peers=configuration.peers,
            link_secret=configuration.link_secret,
            settings=configuration.settings,
        ) as replica:
            gc.freeze()  # what was read in stays: no later look for garbage goes through it
            app = application(
                replica, token=configuration.token, link_secret=configuration.link_secret
            )
            runner = web.AppRunner(
                app,
                access_log=None,
                logger=http_log,
                auto_decompress=False,
                keepalive_timeout=limits.IDLE_CONNECTION_S,
                shutdown_timeout=limits.DRAIN_TIMEOUT_S / 2,
            )
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                _greet(configuration, listener)
                _log.info("serving on the event loop of %s", event_loop_name())
                await stopping.wait()
                _log.info("draining")
            finally:
                await runner.cleanup()
    _log.info("closed")
    return 0


def allow_open_files() -> None:
    """Let this process open as many files and sockets as the system allows, up to a bound."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.OPEN_FILES_MAX
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens, before the data is touched; raises ConfigurationError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigurationError(f"{host!r} is no address of this machine: {error}") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            "choose another address with --listen, or stop what uses it"
        ) from error
    return listener


def _greet(configuration: ServeConfiguration, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    peers = len(configuration.peers)
    print(
        f"crdtstore {configuration.name} serves http://{shown}:{port} from {configuration.data}, "
        f"{peers} peer{'' if peers == 1 else 's'}; Ctrl-C ends it",
        flush=True,
    )
