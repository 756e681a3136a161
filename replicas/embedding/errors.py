"""What can go wrong between a command and the service that it asks."""

from crdtstore.errors import CrdtstoreError


class ServiceUnreachable(CrdtstoreError):
    """The service does not answer, or not as it should: see whether it runs."""

    code = "service-unreachable"
