"""The HTTP face of a replica: API, links, metrics."""

from crdtstore.server.application import application
from crdtstore.server.auth import check_exposure
from crdtstore.server.loop import run_as_server

__all__ = ["application", "check_exposure", "run_as_server"]
