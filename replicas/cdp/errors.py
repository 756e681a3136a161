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


class BodyInvalid(CdpError):
    """A request is not of the documented form: its sender must mend it."""

    code = "body-invalid"


class BodyTooLarge(BodyInvalid):
    """A request is larger than what is taken: its sender must split it."""

    code = "body-too-large"


class WriteKeyUnknown(CdpError):
    """A request does not have a write key of this service: its sender must get one."""

    code = "write-key-unknown"


class EventRefused(CdpError):
    """One event is refused; ``rule`` says by which rule, the text why."""

    code = "event-refused"

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule


class TooBusy(CdpError):
    """More events wait than may: the sender tries again later."""

    code = "too-busy"


class ExportFailed(CdpError):
    """The file of an export cannot be written: see its folder and the disk."""

    code = "export-failed"


class DefinitionInvalid(CdpError):
    """A definition cannot be used: whoever wrote it must mend it."""

    code = "definition-invalid"
