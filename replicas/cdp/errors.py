"""What can go wrong with events; each error says who must act."""

from crdtstore.errors import CrdtstoreError


class CdpError(CrdtstoreError):
    """Something that the CDP replica could not do."""

    code = "cdp-error"


class LogUnusable(CdpError):
    """The event log cannot be opened, read or written: the operator must look at the disk."""

    code = "log-unusable"


class LogInUse(LogUnusable):
    """Another process has the event log open."""

    code = "log-in-use"
