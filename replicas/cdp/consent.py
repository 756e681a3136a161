"""Consent: what events say of it, and when that counts. In doubt a denial does.

    given  | standing | counts if it is
    -------|----------|-------------------------------------------
    denial | nothing  | always
    grant  | nothing  | always
    denial | grant    | not older than the grant
    grant  | denial   | newer than the last denial
    denial | denial   | newer: then later grants must be newer still
    grant  | grant    | never: it says nothing new

So of one device the latest word counts, in whatever order its events arrive. Between replicas it is
the store that lets a denial win over a grant that had not seen it.
"""

from typing import Final, NamedTuple

from replicas.cdp import limits
from replicas.cdp.errors import EventRefused
from replicas.cdp.events import Json

AT_MS: Final = ".at_ms"
"""The end of the names of the fields that say since when."""


class Consent(NamedTuple):
    """The word that stands on one category: what it is, and from when."""

    is_granted: bool
    at_ms: int


def consents_in(context: Json) -> dict[str, bool]:
    """Return what an event says of each category of consent, mostly nothing.

    Raises EventRefused for what has another form: it is not to be overheard.
    """
    consent = context.get("consent")
    if consent is None:
        return {}
    given = consent.get("categoryPreferences") if type(consent) is dict else consent
    if given is None:
        return {}
    if type(given) is not dict or not all(type(value) is bool for value in given.values()):
        detail = "context.consent.categoryPreferences says true or false of each category"
        raise EventRefused("invalid-consent", detail)
    if len(given) > limits.CONSENT_CATEGORIES_MAX:
        detail = f"there are more than {limits.CONSENT_CATEGORIES_MAX} categories of consent"
        raise EventRefused("invalid-consent", detail)
    for category in given:
        size = len(category.encode())
        is_free = category.isprintable() and not category.endswith(AT_MS)
        if not is_free or not 0 < size <= limits.CONSENT_CATEGORY_BYTES_MAX:
            detail = f"{category[:40]!r} is no name of a category of consent"
            raise EventRefused("invalid-consent", detail)
    return given


def counts(is_granted: bool, at_ms: int, standing: Consent | None) -> bool:
    """Say whether a word on consent counts, by the table above."""
    if standing is None:
        return True
    if is_granted:
        return not standing.is_granted and at_ms > standing.at_ms
    return at_ms >= standing.at_ms if standing.is_granted else at_ms > standing.at_ms
