"""What can go wrong with a CRM; each error says who must act."""

from crdtstore.errors import CrdtstoreError


class CrmError(CrdtstoreError):
    """Something that a CRM did or said."""

    code = "crm-error"


class CrmUnavailable(CrmError):
    """The CRM could not be reached, or failed again and again: it is tried later by itself."""

    code = "crm-unavailable"


class CrmAccessDenied(CrmError):
    """The CRM does not let this service in: the operator must look at its credentials."""

    code = "crm-access-denied"


class CrmRefused(CrmError):
    """The CRM refused a whole request; ``status`` and ``vendor_code`` say how."""

    code = "crm-refused"

    def __init__(self, what: str, status: int, vendor_code: str, message: str) -> None:
        super().__init__(f"{what} was refused with status {status} {vendor_code}: {message}")
        self.status = status
        self.vendor_code = vendor_code
        self.message = message


class CrmAnswerInvalid(CrmError):
    """An answer of the CRM is not of the documented form: its interface may have changed."""

    code = "crm-answer-invalid"


class PositionExpired(CrmError):
    """The CRM no longer keeps the events from our position on: everything is read anew."""

    code = "position-expired"


class WebhookRefused(CrmError):
    """A webhook request is not signed by the CRM, too old, too large, or not of its form."""

    code = "webhook-refused"
