"""Linkage: profiles that may be of one person, by likeness, suggested to a steward.

    rules = LinkageRules.load("linkage.toml")
    for pair in suggest(store, rules):
        print(pair.score, pair.profile_id, pair.other_id, pair.agrees)

Needs ``pip install crdtstore[linkage]``. Nothing is merged by itself.
"""

from crdtstore.linkage.rules import LinkageRules
from crdtstore.linkage.scoring import Suggestion, scored_pairs
from crdtstore.linkage.suggestions import suggest

__all__ = ["LinkageRules", "Suggestion", "scored_pairs", "suggest"]
