"""The workload: customer profiles of 12 fields and single-field edits, from a fixed seed."""

import random
from collections.abc import Iterator

FIELDS = (
    "given_name", "family_name", "email", "phone", "birthday", "company",
    "title", "address.street", "address.city", "address.postcode", "address.country", "language",
)  # fmt: skip

SEED = 20_260


def profile_id(number: int) -> str:
    """Return the id of a profile."""
    return f"customer-{number:07d}"


def initial_fields(number: int) -> dict[str, str]:
    """Return the fields with which a profile starts."""
    return {field: f"{field[:7]} of {number}" for field in FIELDS}


def random_edits(profiles: int, edits: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield single-field edits of random profiles."""
    draw = random.Random(SEED)
    for number in range(edits):
        field = FIELDS[draw.randrange(len(FIELDS))]
        yield profile_id(draw.randrange(profiles)), {field: f"value {number}"}
