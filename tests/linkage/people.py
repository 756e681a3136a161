"""Records of people for tests of linkage: the first persons of FEBRL 4, both sides."""

from functools import cache

from crdtstore.demo.records import first_persons, read_side
from crdtstore.linkage import LinkageRules

PERSONS = 120

RULES = LinkageRules(
    compare={
        "given_name": "name",
        "surname": "name",
        "date_of_birth": "code",
        "postcode": "code",
        "street_number": "exact",
    },
    blocks=(("date_of_birth",), ("postcode",), ("surname", "given_name")),
    sure=(("surname", "given_name", "date_of_birth"),),
)


@cache
def people() -> dict[str, dict[str, str]]:
    """Return the records by id: a- and b- with the number of their person."""
    return {
        f"{side}-{record.number}": record.fields
        for side in "ab"
        for record in first_persons(read_side(side), PERSONS)
    }


def is_right(one: str, other: str) -> bool:
    """Say whether two records are of one person."""
    return one[2:] == other[2:]
