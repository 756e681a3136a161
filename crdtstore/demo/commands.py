"""Commands: what a person can type to try the fleet."""

from collections.abc import Mapping


def commands_of(urls: Mapping[str, str], profile_id: str) -> list[str]:
    """Return commands that work as printed: read, explain, write in one region, read in another."""
    eu, us, ap = urls["eu"], urls["us"], urls["ap"]
    body = '{"source": "steward", "fields": {"email": "you@example.com"}}'
    return [
        f"curl -s {eu}/v1/persons/{profile_id}",
        f"curl -s '{us}/v1/persons/{profile_id}/explain?field=email'",
        f"curl -s -X PATCH {ap}/v1/profiles/{profile_id} "
        f"-H 'Content-Type: application/json' -d '{body}'",
        f"curl -s {eu}/v1/profiles/{profile_id}",
        f"curl -s '{us}/v1/changes?limit=3'",
        f"curl -s {eu}/v1/digest",
        f"curl -s {ap}/v1/digest",
    ]
