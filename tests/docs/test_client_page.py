"""The page about clients says what the code does: bounds, kinds of messages, errors that pass."""

from crdtstore import limits
from crdtstore.client.pipeline import _PASSING
from crdtstore.stream import bounds, messages
from tests.docs import documents

PAGE = documents.read("docs/client.md")


def test_numbers_are_those_of_the_bounds() -> None:
    page = " ".join(PAGE.split())
    assert (
        f"at most {bounds.STREAM_WINDOW_WRITES:,} writes, or {bounds.STREAM_WINDOW_BYTES:,}" in page
    )
    assert f"({bounds.CLIENT_PATIENCE_S_DEFAULT:g} seconds unless said otherwise" in page
    assert f"at most {bounds.CLIENT_PATIENCE_S_MAX:,.0f})" in page
    assert f"pauses of up to {limits.RECONNECT_MAX_S:g} seconds" in page
    assert f"at most {bounds.STREAM_MESSAGE_BYTES_MAX:,} bytes" in page
    assert f"at most {bounds.STREAM_WRITE_BYTES_MAX:,} bytes" in page
    assert f"1 to {bounds.STREAM_BATCH_WRITES_MAX} entries" in page
    assert f"PING every {bounds.STREAM_PING_S:g} seconds" in page
    assert f"hears nothing for {bounds.STREAM_IDLE_S_MAX:g} seconds" in page
    assert bounds.STREAM_SESSION_IDLE_MS_MAX == 3_600_000, "an hour, it says"
    assert f"`{messages.SUBPROTOCOL}`" in page


def test_every_kind_of_message_has_its_row() -> None:
    said = {
        "HELLO": messages.encode(messages.Hello(bytes(16), 0, 0)),
        "WELCOME": messages.encode(messages.Welcome("eu", 1, 0, 1, 1)),
        "WRITES": messages.encode_writes(1, 0, [b"\x90"]),
        "RESULTS": messages.encode(messages.Results(0, [])),
        "PING": messages.encode(messages.Ping()),
        "BYE": messages.encode(messages.Bye(0)),
        "REFUSE": messages.encode(messages.Refuse("code", "text")),
    }
    rows = documents.tables(documents.section(PAGE, "The write stream"))[0][1:]
    assert {row[1]: int(row[0]) for row in rows} == {name: data[0] for name, data in said.items()}


def test_errors_that_may_pass_are_named() -> None:
    page = " ".join(PAGE.split())
    told = page.partition("After REFUSE the replica closes.")[2].partition("may pass")[0]
    assert set(documents.code_words(told)) == {kind.code for kind in _PASSING}
