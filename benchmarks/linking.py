"""Linking: how well persons are found in FEBRL 1 to 4, whose true links are known.

    python -m benchmarks.linking            writes benchmarks/results/linking.json, docs/linking.md
    python -m benchmarks.linking --smoke    data set 1 alone, writes nothing

In the order in which a user does it: exact identifiers, by the rules of identity; then suggestions,
answered by a steward who knows the truth, until there are none; beside it what becomes if all
suggestions are accepted unseen; and Splink by itself, all its pairs above the same probability. No
figure but the seconds depends on the
machine, the time, or chance.
"""

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.febrl import DATA, Link, links_within, person_of, quality, read_set, true_links
from benchmarks.linking_report import DOCUMENT, MARKS, section
from benchmarks.machine import machine
from benchmarks.processes import ROOT, SCRATCH, scratch_directory
from benchmarks.splink_alone import links_of_splink
from crdtstore import IdentityRules, Schema, Store, add
from crdtstore.limits import SUGGESTIONS_MAX
from crdtstore.linkage import LinkageRules, scored_pairs, suggest

RESULTS: Final = ROOT / "benchmarks" / "results" / "linking.json"
SETS: Final = ("1", "2", "3", "4")
_SCHEMA: Final = Schema(identity=IdentityRules(priority=("soc_sec_id",)))

Result = dict[str, Any]


def measure(number: str) -> Result:
    """Return the quality of every way to link one data set."""
    records = read_set(number)
    true = true_links(records)
    rules = LinkageRules.load(DATA / "febrl.toml")
    with (
        scratch_directory("linking") as directory,
        Store.open(directory / "store", name="linking", schema=_SCHEMA) as store,
    ):
        for record_id, fields in records.items():
            texts = [f"soc_sec_id:{fields['soc_sec_id']}"] if "soc_sec_id" in fields else []
            store.write(record_id, {**fields, "identifiers": add(*texts)}, source="febrl")
        store.commit()
        exact = persons_in(store, records)
        started = time.perf_counter()
        suggested = suggest(store, rules, limit=SUGGESTIONS_MAX)
        suggest_s = time.perf_counter() - started
        unseen = links_within(_united(exact, [(p.profile_id, p.other_id) for p in suggested]))
        asked, accepted = answer_all(store, rules)
        answered = persons_in(store, records)
    return {
        "records": len(records),
        "true_links": len(true),
        "suggest_s": round(suggest_s, 1),
        "asked": asked,
        "accepted": accepted,
        "ways": {
            "exact": quality(links_within(exact), true),
            "steward": quality(links_within(answered), true),
            "unseen": quality(unseen, true),
            "rules": quality(links_by_rules(records, rules), true),
            "splink": quality(links_of_splink(records, is_pair=number == "4"), true),
        },
    }


def links_by_rules(records: dict[str, dict[str, str]], rules: LinkageRules) -> set[Link]:
    """Return the links that Splink finds by our rules, without a store."""
    return {(pair.profile_id, pair.other_id) for pair in scored_pairs(records, rules)}


def persons_in(store: Store, records: dict[str, dict[str, str]]) -> set[tuple[str, ...]]:
    """Return the profiles of every person of a store."""
    return {store.persons.read(record_id).profiles for record_id in records}


def answer_all(store: Store, rules: LinkageRules) -> tuple[int, int]:
    """Answer suggestions rightly until there are none; return how many, and how many accepted."""
    asked = accepted = 0
    while suggested := suggest(store, rules, limit=SUGGESTIONS_MAX):
        for pair in suggested:
            is_one = person_of(pair.profile_id) == person_of(pair.other_id)
            decide = store.persons.merge if is_one else store.persons.not_match
            decide(pair.profile_id, pair.other_id)
            asked += 1
            accepted += is_one
    return asked, accepted


def _united(groups: set[tuple[str, ...]], pairs: list[tuple[str, str]]) -> list[set[str]]:
    """Return groups of records, united by pairs."""
    home: dict[str, set[str]] = {}
    for group in groups:
        united = set(group)
        home |= dict.fromkeys(group, united)
    for one, other in pairs:
        if home[one] is not home[other]:
            home[one] |= home[other]
            for each in home[other]:
                home[each] = home[one]
    return list({id(group): group for group in home.values()}.values())


def main(arguments: list[str] | None = None) -> int:
    """Measure and show; write the results unless it is a smoke run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linking", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="data set 1 alone, writes nothing")
    options = parser.parse_args(arguments)
    SCRATCH.mkdir(exist_ok=True)
    result: Result = {
        "machine": machine(SCRATCH),
        "versions": {"splink": version("splink"), "duckdb": version("duckdb")},
        "sets": {},
    }
    for number in SETS[:1] if options.smoke else SETS:
        print(f"FEBRL {number} ...", file=sys.stderr, flush=True)
        result["sets"][number] = measure(number)
    print(section(result))
    if not options.smoke:
        _save(result, RESULTS)
    return 0


def _save(result: Result, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    MARKS.update(DOCUMENT, section(result))


if __name__ == "__main__":
    sys.exit(main())
