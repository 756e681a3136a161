"""The protocol's page says what the code does: vectors, messages, limits, refusals."""

import json
import re

import pytest

from crdtstore import limits
from crdtstore.sync.messages import encode
from tests.docs import documents
from tests.sync.examples import TAG, VECTORS, messages

PAGE = documents.read("docs/protocol.md")
_VECTOR = re.compile(r"^### `([\w-]+)`\n\n(.+?)\n\n```hex\n(.*?)```", re.MULTILINE | re.DOTALL)

NUMBERS = (
    "MESSAGE_BYTES_MAX",
    "FRAME_BYTES_MAX",
    "WRITES_PER_FRAME_MAX",
    "ORIGINS_MAX",
    "VALUE_BYTES_MAX",
    "CREDIT_BYTES",
    "CHUNK_DOCUMENTS_MAX",
    "INBOX_BYTES_MAX",
    "WANT_PATIENCE_MS",
    "GOSSIP_INTERVAL_MS",
    "LINK_IDLE_MS_MAX",
    "SNAPSHOT_FRESH_PROFILES_MIN",
    "SNAPSHOT_PATIENCE_MS",
    "REPAIR_PATIENCE_MS",
    "COMPARED_RANGES_MAX",
)


def test_the_bounds_of_a_repair_are_told() -> None:
    page = " ".join(PAGE.split())
    assert f"1 to {limits.COMPARE_RANGES_MAX} ranges" in page
    assert f"2 to {limits.RANGE_PARTS} parts" in page
    assert f"at most {limits.RANGE_IDS_MAX} documents" in page
    assert f"may have {limits.COMPARE_WINDOW} COMPAREs" in page
    assert f"at most {limits.COMPARE_ROUNDS_MAX} rounds" in page
    assert f"up to {limits.HEAL_DOCUMENTS} different ids; at most {limits.FETCHES_MAX} wait" in page


def test_the_vectors_are_those_of_the_file() -> None:
    shown = []
    for name, meaning, lines in _VECTOR.findall(PAGE):
        digits = "".join(line.partition(";")[0] for line in lines.splitlines())
        shown.append({"name": name, "meaning": meaning, "hex": re.sub(r"\s", "", digits)})
    assert shown == json.loads(VECTORS.read_text("utf-8"))["vectors"]


def test_every_kind_of_message_has_its_row() -> None:
    rows = {row[0]: row[1:] for row in documents.tables(documents.section(PAGE, "The messages"))[0]}
    del rows["Kind"]
    said = {}
    for name, (_, message) in messages().items():
        kind = encode(message, TAG)[0]
        said[str(kind)] = name.upper().replace("-", "_")
    assert {kind: row[0] for kind, row in rows.items()} == said


def test_hello_has_the_fields_that_are_named_in_their_order() -> None:
    rows = {row[1]: row[2] for row in documents.tables(documents.section(PAGE, "The messages"))[0]}
    fields = rows["HELLO"].split(", ")
    hello = messages()["hello"][1]
    assert sorted(fields) == sorted(hello.__slots__)
    values = dict.fromkeys(fields)
    assert len(values) == encode(hello, TAG)[1] & 0x0F


@pytest.mark.parametrize("name", NUMBERS)
def test_the_numbers_are_the_limits(name: str) -> None:
    assert f"{getattr(limits, name):,}" in PAGE


def test_other_limits_are_named_as_they_are() -> None:
    assert f"1 to {limits.FIELD_NAME_BYTES_MAX} UTF-8 bytes" in PAGE
    assert f"At most {limits.ELEMENT_BYTES_MAX} packed bytes" in PAGE
    assert f"nested at most {limits.VALUE_DEPTH_MAX} deep" in PAGE
    assert f"1 to\n  {limits.PROFILE_ID_BYTES_MAX} UTF-8" in PAGE or (
        f"1 to {limits.PROFILE_ID_BYTES_MAX} UTF-8" in PAGE
    )
    assert limits.EPOCH_MAX == 2**53
    assert limits.TIMESTAMP_MAX == 2**63 - 1
