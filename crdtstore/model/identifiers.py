"""Identifiers: what points to a person, as one canonical text ``type:value``.

    identifier("email", " Ann@Example.com ")         "email:ann@example.com"
    identifier("phone", "030 901820", region="DE")   "phone:+4930901820"

| type            | normalised to                                                             |
|-----------------|---------------------------------------------------------------------------|
| email           | small letters, NFC; the domain as a host name in ASCII (IDNA, UTS 46)     |
| phone           | E.164, by the library phonenumbers; an extension is refused               |
| device_id       | a UUID as RFC 9562 writes it, in small letters; any other text as it is   |
| salesforce_id   | 18 characters: those of 15 get their check characters                     |
| any other       | NFC, without white space around it: ids tell small and capital letters apart |

A type is what the field calls it: ``user_id``, ``anonymous_id``, ``hubspot_id``, or one of your
own. Dots and tags of mailboxes stay: whether they matter is up to each provider.

Normalising twice changes nothing, and the same input gives the same text on every replica: it
knows no clock, no network and no list of numbers in use. A text that other rules wrote is kept,
found and linked as it stands.

Sources: RFC 5321 (lengths), UTS 46, E.164, Salesforce's description of 15 and 18 character ids.
"""

import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from crdtstore import limits
from crdtstore.errors import InvalidValue, LimitExceeded
from crdtstore.identity_rules import IdentityRules, is_type_name
from crdtstore.person_errors import LibraryMissing

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:crdtstore:profile")
_NOT_IN_MAILBOX: Final = re.compile(r'[\s"(),:;<>\[\\\]@]')
_HOST_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_UUID: Final = re.compile(
    r"\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?"
)
_SALESFORCE: Final = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-5]{3})?")
_SALESFORCE_CHECKS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def identifier(kind: str, value: str, *, region: str = "") -> str:
    """Return the canonical text of an identifier, to be added to the field ``identifiers``.

    ``region`` (two letters) is for telephone numbers without a country code. Raises InvalidValue
    for what cannot be one, LimitExceeded, or LibraryMissing if a library is not installed.
    """
    if not is_type_name(kind):
        raise InvalidValue(
            "the type of an identifier has small letters, digits, '_', '.' and '-', 32 at most, "
            f"and begins with a letter, unlike {kind!r}"
        )
    if type(value) is not str:
        raise InvalidValue(f"the {kind} of an identifier is text, not a {type(value).__name__}")
    return _normalised(kind, value, region)


def normalised(text: object, region: str = "") -> str:
    """Return the canonical form of a text ``type:value``; raises as ``identifier`` does."""
    if type(text) is not str or ":" not in text:
        raise InvalidValue(
            f"an identifier is text as email:ann@example.com, a type and a value, not {text!r}"
        )
    kind, _, value = text.partition(":")
    return identifier(kind, value, region=region)


def profile_id_for(space: str, identifiers: Iterable[str], rules: IdentityRules) -> str:
    """Return the id for a new profile with these identifiers: the same on every replica.

    It is the UUID, version 5, of the identifier of the highest priority that is not blocked; where
    several have that priority, of the least text. Raises InvalidValue if none is left.
    """
    texts = {normalised(text, rules.phone_region) for text in identifiers}
    usable = [text for text in texts if not rules.is_blocked(text)]
    if not usable:
        raise InvalidValue(
            "a profile id is made of an identifier, and there is none that is not blocked"
        )
    best = min(usable, key=lambda text: (rules.rank(text), text))
    return str(uuid.uuid5(_namespace_of(space), best))


@lru_cache(maxsize=1)
def _namespace_of(space: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, space)


def forget_normalised() -> None:
    """Forget the identifiers that were normalised lately."""
    _normalised.cache_clear()


@lru_cache(maxsize=limits.NORMALISED_IDENTIFIERS_MAX)
def _normalised(kind: str, value: str, region: str) -> str:
    subject = f"the {kind} {value[:80]!r}"
    plain = unicodedata.normalize("NFC", value.strip())
    if not plain:
        raise InvalidValue(f"{subject} is empty")
    if not plain.isprintable():
        raise InvalidValue(f"{subject} has characters that cannot be seen")
    form = _FORMS.get(kind)
    text = f"{kind}:{plain if form is None else form(plain, region, subject)}"
    size = len(text.encode())
    if size > limits.IDENTIFIER_BYTES_MAX:
        raise LimitExceeded(
            f"the identifier {text[:80]!r}", size, limits.IDENTIFIER_BYTES_MAX, "bytes"
        )
    return text


def _email(value: str, region: str, subject: str) -> str:
    mailbox, at, domain = value.rpartition("@")
    mailbox = unicodedata.normalize("NFC", mailbox.lower())
    if not at or not mailbox or _NOT_IN_MAILBOX.search(mailbox):
        raise InvalidValue(f"{subject} is no address as ann@example.com")
    if len(mailbox.encode()) > limits.MAILBOX_BYTES_MAX:
        raise LimitExceeded(
            f"the mailbox of {subject}", len(mailbox.encode()), limits.MAILBOX_BYTES_MAX, "bytes"
        )
    host = domain.lower().rstrip(".")
    if not host.isascii():
        host = _ascii_host(host, subject)
    labels = host.split(".")
    if len(host) > limits.HOST_BYTES_MAX or not all(map(_HOST_LABEL.fullmatch, labels)):
        raise InvalidValue(f"{subject} has no host name after the @")
    return f"{mailbox}@{host}"


def _ascii_host(host: str, subject: str) -> str:
    try:
        import idna
    except ImportError:
        raise LibraryMissing("a domain with other than ASCII letters", "idna") from None
    try:
        return idna.encode(host, uts46=True).decode().lower()
    except idna.IDNAError as error:
        raise InvalidValue(f"{subject} has no host name after the @: {error}") from None


def _phone(value: str, region: str, subject: str) -> str:
    try:
        import phonenumbers
    except ImportError:
        raise LibraryMissing("a telephone number", "phonenumbers") from None
    try:
        number = phonenumbers.parse(value, region or None)
    except phonenumbers.NumberParseException as error:
        hint = "" if region else "; without a country code it needs a region, such as DE"
        raise InvalidValue(f"{subject} is no telephone number: {error}{hint}") from None
    if number.extension:
        raise InvalidValue(f"{subject} has an extension; an identifier is the number alone")
    if not phonenumbers.is_possible_number(number):
        raise InvalidValue(f"{subject} has too few or too many digits for its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _device_id(value: str, region: str, subject: str) -> str:
    match = _UUID.fullmatch(value.lower())
    return value if match is None else "-".join(match.groups())


def _salesforce_id(value: str, region: str, subject: str) -> str:
    if not _SALESFORCE.fullmatch(value):
        raise InvalidValue(f"{subject} does not have the 15 or 18 letters and digits of an id")
    checks = "".join(
        _SALESFORCE_CHECKS[
            sum("A" <= character <= "Z" and 1 << place for place, character in enumerate(part))
        ]
        for part in (value[:5], value[5:10], value[10:15])
    )
    if len(value) == 18 and value[15:].upper() != checks:
        raise InvalidValue(f"{subject} does not end with the check characters {checks}")
    return value[:15] + checks


_FORMS: Final[Mapping[str, Callable[[str, str, str], str]]] = MappingProxyType(
    {
        "email": _email,
        "phone": _phone,
        "device_id": _device_id,
        "salesforce_id": _salesforce_id,
    }
)
"""How the value of each type is normalised, as far as it is not taken as it stands."""
