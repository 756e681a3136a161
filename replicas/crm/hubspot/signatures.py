"""Signatures of HubSpot's requests: version 3, and the older two.

Version 3 is an HMAC with a timestamp; a request that is too old, or too far ahead of our clock, is
refused. The older two are plain hashes without a timestamp, and can be replayed: they are taken
only where the settings say so. All comparisons take constant time.

Source: HubSpot's documentation, "Validating requests".
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from typing import Final

from replicas.crm import limits
from replicas.crm.errors import WebhookRefused

_DECODED: Final = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$",
    "%27": "'", "%28": "(", "%29": ")", "%2A": "*", "%2C": ",", "%3B": ";",
}  # fmt: skip
_ESCAPE: Final = re.compile("|".join(_DECODED), re.IGNORECASE)


def signed_uri(uri: str) -> str:
    """Return an address as version 3 signs it: no fragment, some escapes of its query decoded."""
    plain = uri.partition("#")[0]
    path, mark, query = plain.partition("?")
    return path + mark + _ESCAPE.sub(lambda found: _DECODED[found[0].upper()], query)


def signature_v3(secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """Return the signature of version 3."""
    signed = method.encode() + signed_uri(uri).encode() + body + timestamp.encode()
    return base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()


def signature_v2(secret: str, method: str, uri: str, body: bytes) -> str:
    """Return the signature of version 2."""
    signed = secret.encode() + method.encode() + uri.encode() + body
    return hashlib.sha256(signed).hexdigest()


def signature_v1(secret: str, body: bytes) -> str:
    """Return the signature of version 1."""
    return hashlib.sha256(secret.encode() + body).hexdigest()


def check_signature(
    secret: str,
    method: str,
    uri: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_ms: int,
    versions: Collection[str],
) -> None:
    """Check that a request is signed by HubSpot; names of headers are in small letters.

    Raises WebhookRefused.
    """
    if "v3" in versions and "x-hubspot-signature-v3" in headers:
        _check_v3(secret, method, uri, headers, body, now_ms)
        return
    given = headers.get("x-hubspot-signature", "")
    version = headers.get("x-hubspot-signature-version", "v1")
    if not given or version not in versions or version == "v3":
        raise WebhookRefused("the request has no signature of a version that is taken here")
    expected = signature_v1(secret, body)
    if version == "v2":
        expected = signature_v2(secret, method, uri, body)
    _compare(given, expected)


def _check_v3(
    secret: str, method: str, uri: str, headers: Mapping[str, str], body: bytes, now_ms: int
) -> None:
    timestamp = headers.get("x-hubspot-request-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 17):
        raise WebhookRefused("the request has no timestamp")
    _compare(headers["x-hubspot-signature-v3"], signature_v3(secret, method, uri, body, timestamp))
    if abs(now_ms - int(timestamp)) > limits.HUBSPOT_SIGNATURE_AGE_MS_MAX:
        raise WebhookRefused("the request is older than five minutes, or ahead of our clock")


def _compare(given: str, expected: str) -> None:
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode()):
        raise WebhookRefused("the signature of the request is not HubSpot's")
