"""The HTTP face of a replica: API, links, metrics."""

from crdtstore.server.application import application
from crdtstore.server.auth import check_exposure

__all__ = ["application", "check_exposure"]
