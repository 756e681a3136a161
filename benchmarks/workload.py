"""The workload: customer profiles of 12 fields and single-field edits, from a fixed seed.

Every store is given the same profiles and the same edits in the same order. Profiles are drawn by
Zipf's law: a few are edited all the time, most of them hardly ever.
"""

import bisect
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

FIELDS: Final = (
    "given_name", "family_name", "email", "phone", "birthday", "company",
    "title", "address.street", "address.city", "address.postcode", "address.country", "language",
)  # fmt: skip

SEED: Final = 20_260
ZIPF_EXPONENT: Final = 0.99
CONFLICT_ROUNDS: Final = 10
_PROFILES_LEAST: Final = 30
_EDITS_LEAST: Final = 60

_GIVEN: Final = ("Anna", "Bilal", "Chidi", "Dorota", "Emil", "Fatima", "Goran", "Hana", "Ines")
_FAMILY: Final = ("Okafor", "Novak", "Silva", "Tanaka", "Haddad", "Larsen", "Moreau", "Kovacs")
_TITLES: Final = ("Head of Sales", "Data Engineer", "Buyer", "Director", "Nurse", "Architect")
_CITIES: Final = (
    ("Lyon", "69003", "FR", "fr"), ("Porto", "4000-322", "PT", "pt"),
    ("Kyoto", "604-8571", "JP", "ja"), ("Lagos", "101233", "NG", "en"),
    ("Gdansk", "80-831", "PL", "pl"), ("Bergen", "5003", "NO", "no"),
)  # fmt: skip

Edit = tuple[str, str, str]
"""A single-field edit: the id of a profile, a field, its new value."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done in one run of one subject."""

    profiles: int
    edits: int
    latency_edits: int
    conflict_profiles: int
    wire_edits: int

    def scaled(self, share: float) -> "Size":
        """Return the part of the work that a slow subject is given."""
        profiles = max(int(self.profiles * share), _PROFILES_LEAST)
        return Size(
            profiles=profiles,
            edits=max(int(self.edits * share), _EDITS_LEAST),
            latency_edits=self.latency_edits,
            conflict_profiles=min(self.conflict_profiles, profiles),
            wire_edits=self.wire_edits,
        )


FULL: Final = Size(10_000, 50_000, 200, 1_000, 1_000)
SMOKE: Final = Size(60, 120, 3, 20, 20)


def profile_id(number: int) -> str:
    """Return the id of a profile."""
    return f"customer-{number:07d}"


def initial_fields(number: int) -> dict[str, str]:
    """Return the fields with which a profile starts."""
    draw = random.Random(SEED * 1_000_003 + number)
    given, family = draw.choice(_GIVEN), draw.choice(_FAMILY)
    city, postcode, country, language = draw.choice(_CITIES)
    values = (
        given,
        family,
        f"{given}.{family}{number}@example.com".lower(),
        f"+{draw.randrange(10**10, 10**11)}",
        f"{draw.randrange(1940, 2008)}-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}",
        f"{draw.choice(_FAMILY)} & {draw.choice(_FAMILY)}",
        draw.choice(_TITLES),
        f"{draw.randrange(1, 200)} {draw.choice(_FAMILY)} Street",
        city,
        postcode,
        country,
        language,
    )
    return dict(zip(FIELDS, values, strict=True))


def random_edits(profiles: int, edits: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield single-field edits of profiles drawn evenly: the hardest case for a cache."""
    draw = random.Random(SEED)
    for number in range(edits):
        field = FIELDS[draw.randrange(len(FIELDS))]
        yield profile_id(draw.randrange(profiles)), {field: f"value {number}"}


def zipf_edits(profiles: int, edits: int) -> Iterator[Edit]:
    """Yield single-field edits of profiles drawn by Zipf's law; every value is new."""
    draw = random.Random(SEED)
    places = list(range(profiles))
    draw.shuffle(places)
    weights = [1 / (rank + 1) ** ZIPF_EXPONENT for rank in range(profiles)]
    heaped = list(itertools.accumulate(weights))
    for number in range(edits):
        rank = bisect.bisect_left(heaped, draw.random() * heaped[-1])
        field = FIELDS[draw.randrange(len(FIELDS))]
        yield profile_id(places[rank]), field, f"value {number}"


@dataclass(frozen=True)
class Workload:
    """The profiles and edits of one size; its spans are ranges of the edits."""

    size: Size

    @cached_property
    def profiles(self) -> list[tuple[str, dict[str, str]]]:
        """The profiles with the fields that they start with."""
        return [(profile_id(n), initial_fields(n)) for n in range(self.size.profiles)]

    @cached_property
    def edits(self) -> list[Edit]:
        """All edits: those of each span, one after the other."""
        edits = list(zipf_edits(self.size.profiles, 2 * self.size.edits))
        for number in range(self.size.wire_edits + self.size.latency_edits):
            place = number % min(self.size.profiles, 200)
            edits.append((profile_id(place), FIELDS[number % len(FIELDS)], f"later {number}"))
        return edits

    @property
    def durable(self) -> Span:
        """The edits of the run at one replica."""
        return 0, self.size.edits

    @property
    def end_to_end(self) -> Span:
        """The edits that are followed to a second replica."""
        return self.size.edits, 2 * self.size.edits

    @property
    def wire(self) -> Span:
        """The edits whose bytes are counted: of 200 profiles in turn."""
        start = 2 * self.size.edits
        return start, start + self.size.wire_edits

    @property
    def latency(self) -> Span:
        """The edits that are made one at a time."""
        start = 2 * self.size.edits + self.size.wire_edits
        return start, start + self.size.latency_edits

    def after(self, span: Span) -> dict[str, dict[str, str]]:
        """Return what all profiles must say when the edits of a span were made after loading."""
        state = {profile: dict(fields) for profile, fields in self.profiles}
        for profile, field, value in self.edits[slice(*span)]:
            state[profile][field] = value
        return state

    def dealt(self, span: Span, writers: int) -> list[list[Edit]]:
        """Deal the edits of a span to writers, evenly, so that each profile has one writer."""
        counts: dict[str, int] = {}
        for profile, _, _ in self.edits[slice(*span)]:
            counts[profile] = counts.get(profile, 0) + 1
        loads = [0] * writers
        writer_of: dict[str, int] = {}
        for profile in sorted(counts, key=lambda each: -counts[each]):
            writer_of[profile] = loads.index(min(loads))
            loads[writer_of[profile]] += counts[profile]
        hands: list[list[Edit]] = [[] for _ in range(writers)]
        for edit in self.edits[slice(*span)]:
            hands[writer_of[edit[0]]].append(edit)
        return hands

    def save(self, path: Path) -> None:
        """Write the workload for programs in other languages."""
        path.write_text(json.dumps({"profiles": self.profiles, "edits": self.edits}), "utf-8")


def batches(edits: list[Edit], length: int) -> list[list[Edit]]:
    """Return edits in batches."""
    return [edits[start : start + length] for start in range(0, len(edits), length)]
