"""Logs: one record, one line, in either form."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from crdtstore.errors import ConfigurationError
from crdtstore.logs import configure_logging


@pytest.fixture(autouse=True)
def _put_logging_back() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("crdtstore")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], level, own_level = before
    root.setLevel(level)
    ours.setLevel(own_level)


def test_json_lines_have_the_context_and_one_line_each() -> None:
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    log = logging.getLogger("crdtstore.test")
    log.info("linked to\n%s", "us", extra={"context": {"peer": "us", "message": "not this"}})
    log.debug("not shown")
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["message"] == "linked to\nus"
    assert (first["level"], first["logger"], first["peer"]) == ("info", "crdtstore.test", "us")
    assert first["time"].endswith("+00:00")
    assert "ValueError: wrong" in second["exception"]


def test_human_lines_cannot_be_forged() -> None:
    stream = io.StringIO()
    configure_logging("human", "warning", stream)
    log = logging.getLogger("crdtstore.test")
    log.warning("peer %s", "us\n12:00:00 info fake", extra={"context": {"n": "\x1b[2J"}})
    log.info("not shown")
    (line,) = stream.getvalue().splitlines()
    assert "us\\n12:00:00 info fake" in line
    assert "n=\\x1b[2J" in line
    assert "\x1b" not in line


def test_other_libraries_are_heard_from_warnings_up() -> None:
    stream = io.StringIO()
    configure_logging("human", "debug", stream)
    logging.getLogger("asyncio").info("not shown")
    logging.getLogger("asyncio").warning("shown")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("arguments", [("xml", "info"), ("json", "loud")])
def test_unknown_forms_and_levels_are_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="is none of"):
        configure_logging(*arguments)
