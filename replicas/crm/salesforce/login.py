"""Logging in to Salesforce: OAuth 2.0 client credentials, or a JWT bearer assertion."""

from typing import Final
from urllib.parse import urlencode

from replicas.crm.conversation import Conversation, Request, Session, member
from replicas.crm.errors import CrmAccessDenied
from replicas.crm.salesforce.settings import SalesforceSettings

_ASSERTION_S: Final = 180
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def log_in(settings: SalesforceSettings, now_s: float) -> Conversation[Session]:
    """Get an access token; raises CrmAccessDenied."""
    if settings.flow == "jwt_bearer":
        form = {"grant_type": _JWT_BEARER, "assertion": _assertion(settings, now_s)}
    else:
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.secret,
        }
    response = yield Request(
        "POST",
        f"{settings.login_address}/services/oauth2/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
        is_login=True,
    )
    if response.status != 200:
        answer = response.json() if response.body[:1] == b"{" else {}
        reason = f"{answer.get('error', response.status)}: {answer.get('error_description', '')}"
        raise CrmAccessDenied(f"Salesforce refused the login of {settings.client_id}: {reason}")
    answer = response.json()
    token = member(answer, "access_token", str)
    address = member(answer, "instance_url", str).rstrip("/")
    return Session(
        address,
        {
            "Authorization": f"Bearer {token}",
            "Sforce-Call-Options": f"client={settings.tag}",
        },
        _org_in(str(answer.get("id", ""))),
    )


def _org_in(identity: str) -> str:
    """Return the id of the org in the address of an identity: .../id/ORG/USER."""
    parts = identity.rsplit("/", 3)
    return parts[2] if len(parts) == 4 and parts[1] == "id" else ""


def _assertion(settings: SalesforceSettings, now_s: float) -> str:
    """Return the signed assertion that names the client and the user it acts for."""
    import jwt

    claims = {
        "iss": settings.client_id,
        "sub": settings.username,
        "aud": settings.audience or settings.login_address,
        "exp": int(now_s) + _ASSERTION_S,
    }
    try:
        return jwt.encode(claims, settings.secret, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        raise CrmAccessDenied("the secret of the Salesforce client is no private key") from None
