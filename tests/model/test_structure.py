"""What documents share holds their shape, and nothing of anybody."""

from crdtstore import limits
from crdtstore.model.cells import (
    counter_key,
    denial_key,
    encode_element,
    grant_key,
    register_key,
    set_key,
    trait_key,
)
from crdtstore.model.document import Document, canonical_bytes
from crdtstore.model.structure import structure_of

HERE, THERE = 1084347564854597542, 5204905213315542030
HERE_TEXT = f"{HERE:016x}".encode()
STAMP = 117655636163756039


def document(number: int, **more: tuple[int, ...]) -> Document:
    """A document with a cell of most kinds; whatever is its own says "secret"."""
    element = encode_element(f"secret {number % 3}")
    cells = {
        register_key("email", "crm"): (STAMP + number, HERE, f"secret {number % 3}"),
        register_key("city", "shop"): (STAMP, THERE, "secret town"),
        counter_key("visits", "web", HERE): (STAMP, HERE, 7),
        trait_key("spent", "web", HERE): (STAMP, HERE, [1, b"secret"]),
        set_key("tags", "crm", HERE, element): (STAMP, 0),
        denial_key("mail", "crm", HERE): (STAMP, 0),
        grant_key("mail", "crm"): (STAMP, HERE, True),
        **more,
    }
    return Document(0, dict(sorted(cells.items())))


def test_names_and_origins_are_shared_and_nothing_else_is():
    shared = b"".join(structure_of(document(number) for number in range(60)))
    for name in (b"email\x1fcrm", b"city\x1fshop", b"visits\x1fweb", b"tags\x1fcrm", b"spent"):
        assert name in shared
    assert HERE.to_bytes(8, "big") in shared
    assert HERE_TEXT in shared
    assert THERE.to_bytes(8, "big") in shared
    assert b"secret" not in shared
    assert STAMP.to_bytes(8, "big")[:3] not in shared


def test_parts_are_as_documents_have_them_packed():
    packed = canonical_bytes(document(1))
    parts = structure_of(document(number) for number in range(60))
    assert all(part in packed for part in parts)
    names = [packed.index(part) for part in parts if HERE_TEXT not in part and part[0] != 0xCF]
    assert len(names) == len(document(1).cells)
    assert names == sorted(names)


def test_a_name_that_few_have_is_nobodys_business():
    few = limits.STRUCTURE_SHARED_DOCUMENTS - 1
    own = {"rcalled.annelotte\x1fcrm": (STAMP, 99, 1)}
    documents = [document(number, **(own if number < few else {})) for number in range(60)]
    assert b"annelotte" not in b"".join(structure_of(documents))
    documents.append(document(0, **own))
    assert b"annelotte" in b"".join(structure_of(documents))


def test_of_no_documents_or_of_few_nothing_is_shared():
    assert structure_of([]) == []
    assert structure_of([document(1)]) == []
    assert structure_of(Document(3) for _ in range(60)) == []


def test_large_documents_are_looked_at_within_bounds(monkeypatch):
    monkeypatch.setattr(limits, "STRUCTURE_CELLS", 7 * 20)
    wide = [Document(0, {f"rf{n:04d}\x1fcrm": (STAMP, HERE, 1) for n in range(20)})] * 60
    assert structure_of(wide) == []
    monkeypatch.setattr(limits, "STRUCTURE_CELLS", 8 * 20)
    assert len(structure_of(wide)) == 21
