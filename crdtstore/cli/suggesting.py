"""``person suggest``: pairs of profiles that may be of one person, for a steward to decide on.

The profiles are read from the server a page at a time, and compared in this process: it is a minute
of work, and none for the server's event loop.
"""

import argparse
from typing import Any
from urllib.parse import quote

from crdtstore import limits
from crdtstore.cli.asking import client_of
from crdtstore.cli.client import Client, RequestFailed
from crdtstore.cli.tables import print_json, print_line, print_table
from crdtstore.identity_rules import NOT_MATCH
from crdtstore.linkage.rules import LinkageRules
from crdtstore.linkage.suggestions import Standing, compared_part, unanswered

_GONE = (404, 410)


def run_suggest(arguments: argparse.Namespace, rules_file: str) -> int:
    """Show the most probable pairs that no steward has answered."""
    client = client_of(arguments)
    rules = LinkageRules.load(rules_file)
    records: dict[str, dict[str, Any]] = {}
    after: str | None = ""
    while after is not None:
        page = client.get("/v1/profiles", after=after, limit=limits.PAGE_PROFILES_MAX)
        for profile in page["profiles"]:
            records[profile["id"]] = compared_part(profile["fields"], rules)
        after = page["next"]
    found = unanswered(records, rules, _StandingsOfServer(client), arguments.limit)
    if arguments.json:
        print_json({"suggestions": [pair._asdict() for pair in found]})
        return 0
    rows = [
        (f"{pair.score:.4f}", pair.profile_id, pair.other_id,
         *(", ".join(names) for names in (pair.agrees, pair.alike, pair.differs)))
        for pair in found
    ]  # fmt: skip
    print_table(("SCORE", "PROFILE", "OTHER", "AGREE", "ALIKE", "DIFFER"), rows)
    print_line(f"{len(found):,} suggested of {len(records):,} profiles; a steward decides by")
    print_line("  crdtstore person merge PROFILE OTHER       or  person not-match PROFILE OTHER")
    return 0


class _StandingsOfServer:
    """What a server says about the persons of profiles."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def standing(self, profile_id: str) -> Standing | None:
        """Return the standing of a profile's person; None if the profile is gone."""
        path = f"/v1/persons/{quote(profile_id, safe='')}"
        try:
            person = self._client.get(path)
            told = self._client.get(path + "/explain", field=NOT_MATCH)["candidates"]
        except RequestFailed as error:
            if error.status in _GONE:
                return None
            raise
        declined = (candidate["value"] for candidate in told if candidate["survives"])
        return Standing(frozenset(person["profiles"]), frozenset(declined))
