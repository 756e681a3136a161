"""Targets: what people and their programs write. Schemas, settings, arguments, cursors, bodies."""

import argparse
import json
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgpack

from crdtstore import limits
from crdtstore.cli.client import RequestFailed
from crdtstore.cli.configuration import parse_address, serve_configuration
from crdtstore.cli.fields import add_field_arguments, fields_of
from crdtstore.engine.writes import Write
from crdtstore.errors import (
    ConfigurationError,
    CursorExpired,
    InvalidInput,
    KindConflict,
    ProfileErased,
    SchemaError,
    VersionMismatch,
)
from crdtstore.linkage import LinkageRules
from crdtstore.names import check_profile_id
from crdtstore.schema import Schema
from crdtstore.server.auth import is_loopback
from crdtstore.server.bodies import checked_map
from crdtstore.server.forms import FORMS, JSON, MalformedBody
from crdtstore.server.negotiation import choose
from crdtstore.server.problems import document_of
from crdtstore.server.writes import write_of
from crdtstore.store import Store
from tests.fuzzing.mutation import mutated_bytes, mutated_tree
from tests.fuzzing.stores import check_sound, open_store
from tests.fuzzing.target import Broken, Target

# --- words put together anew ----------------------------------------------------------------------

WORDS = (
    b"[", b"]", b"[" * 3_000, b'{"a":' * 3_000, b"{a=" * 2_000, b"9" * 5_000, b"-", b"1e999",
    b"0x" + b"f" * 4_000, b"nan", b"inf", b"true", b"null", b'""', b"''", b"\n", b"=", b":=",
    b":", b'"', b"\\u0000", b"\\ud800", b"\\udfff", b"\xff", b"\xed\xa0\x80", b"\xc2\xa0",
    b"1979-05-27T07:32:00Z", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"%00",
    b"%ff", b"a" * 300, b"\x1f", b".", b"18446744073709551616", b"-9223372036854775809", b"{}",
    b'{"$bytes":"?"}', b'{"$$bytes":1}', b'{"$datetime":"1"}', b'{"add":[1]}', b'{"set":1}',
)  # fmt: skip


def mutated_text(data: bytes, chance: random.Random) -> bytes:
    """Put a word somewhere, in the place of another perhaps, or change a byte."""
    if chance.random() < 0.4:
        return mutated_bytes(data, chance)
    start = chance.randrange(len(data) + 1)
    end = start + chance.choice((0, 0, 1, 3, 8))
    return data[:start] + chance.choice(WORDS) + data[end:]


# --- schemas and settings -------------------------------------------------------------------------


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="crdtstore-fuzzing-"))


def run_schema(data: bytes) -> None:
    """A text is a schema that has a digest, or it is refused."""
    path = _folder() / "schema.toml"
    path.write_bytes(data)
    try:
        schema = Schema.load(path)
    except SchemaError as error:
        check_length(error, data)
        return
    if len(schema.digest) != 32 or Schema.load(path) != schema:
        raise Broken("a schema is not the same when it is read again")


def schemas() -> list[bytes]:
    """Schemas with every option."""
    return [
        b'sources = ["crm", "cdp"]\n[fields.email]\npolicy = "source_priority"\n'
        b'sources = ["crm"]\n[fields.visits]\nkind = "counter"\n',
        b'[fields.title]\npolicy = "trust_decay"\n'
        b"trust.crm = { start = 90, floor = 40, decay_days = 365 }\n"
        b"default = { start = 50, floor = 10, decay_days = 90 }\n",
        b'[fields."address.city"]\n[groups.address]\n'
        b'fields = ["address.city", "street"]\npolicy = "fill_only"\nsources = ["cdp"]\n',
    ]


def run_linkage(data: bytes) -> None:
    """A text is linkage rules that are the same when read again, or it is refused."""
    path = _folder() / "linkage.toml"
    path.write_bytes(data)
    try:
        rules = LinkageRules.load(path)
    except InvalidInput as error:
        check_length(error, data)
        return
    if LinkageRules.load(path) != rules:
        raise Broken("linkage rules are not the same when they are read again")


def linkages() -> list[bytes]:
    """Linkage rules with every option."""
    return [
        b'blocks = [["born"], ["name", "town"]]\nsure = [["name", "born"]]\nscore_min = 0.5\n'
        b'[compare]\nname = "name"\nborn = "code"\ntown = "exact"\n',
    ]


def run_configuration(data: bytes) -> None:
    """A text is a file of settings, or it is refused; so is each of its lines as a variable."""
    path = _folder() / "settings.toml"
    path.write_bytes(data)
    needed = {"name": "eu", "data": "eu"}
    for flags, environment in ((needed | {"config": str(path)}, {}), (needed, _variables(data))):
        try:
            serve_configuration(flags, environment)
        except ConfigurationError as error:
            check_length(error, data)
    try:
        parse_address(data.decode("utf-8", "surrogateescape"))
    except ConfigurationError:
        return


def _variables(data: bytes) -> dict[str, str]:
    """Return the lines of a text as an environment, which holds no NUL."""
    text = data.decode("utf-8", "surrogateescape").replace("\0", "")
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {
        f"CRDTSTORE_{name.strip().upper()}": value.strip(' "')
        for name, value in pairs
        if name.strip() != "config"
    }


def configurations() -> list[bytes]:
    """Files of settings."""
    return [
        b'name = "us"\ndata = "d"\nlisten = "127.0.0.1:0"\nspace = "s"\nschema = "s.toml"\n'
        b'peers = ["http://a:1"]\nlog_format = "json"\nlog_level = "debug"\n',
        b'token_file = "t"\nlink_secret_file = "l"\ncache_bytes = 1000\nmap_bytes_initial = 100\n'
        b"map_bytes_max = 200\njournal_retention_ms = 1\nclock_skew_ms_max = 5\n",
    ]


# --- arguments ------------------------------------------------------------------------------------


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_field_arguments(parser)
    return parser


def run_fields(data: bytes) -> None:
    """Words of a command line are fields that a server can be sent, or they are refused."""
    words = data.decode("utf-8", "surrogateescape").replace("\0", "").split("\n")
    arguments = _parser().parse_args([])
    vars(arguments).update({name: [] for name in vars(arguments)})  # the defaults are shared
    for word in words:
        name = word[:1]
        names = {"+": "add", "-": "remove", "^": "increment", "_": "decrement", "!": "grant",
                 "?": "revoke", "~": "clear"}  # fmt: skip
        getattr(arguments, names.get(name, "fields")).append(word[1:] if name in names else word)
    try:
        fields = fields_of(arguments)
    except RequestFailed as error:
        check_length(error, data)
        return
    body = json.dumps({"source": "crm", "fields": fields}).encode()
    try:
        JSON.parse(body)
    except MalformedBody as error:
        raise Broken(f"the command line sends what is no JSON: {error}") from error


def field_lists() -> list[bytes]:
    """Words with every kind of assignment; a first character stands for a flag."""
    return [
        b'email=ann@example.com\nage:=41\nx:={"a": [1, null, 1.5]}\n+tags=vip\n-tags=lead',
        b"^logins\n_logins2=2.5\n!news\n?mail\n~phone\n+n:=1",
    ]


# --- cursors, tags, hosts -------------------------------------------------------------------------


@cache
def _store() -> Store:
    store = open_store()
    for number in range(5):
        store.write(f"p{number}", {"x": number}, source="crm")
        store.commit()
    return store


def run_words(data: bytes) -> None:
    """A text is a cursor, a version, an id, a host or an Accept header, or it is refused."""
    text = data.decode("utf-8", "surrogateescape")
    store = _store()
    checks: list[Callable[[], object]] = [
        lambda: store.changes(since=text),
        lambda: store.write("p1", {"x": 1}, source="crm", if_version=text),
        lambda: store.write("p1", {"x": 1}, source=text),
        lambda: store.profiles(after=text),
        lambda: check_profile_id(text),
    ]
    for check in checks:
        try:
            check()
        except (InvalidInput, CursorExpired, VersionMismatch) as error:
            check_length(error, data)
            document_of(error)
    is_loopback(text)
    if choose(text, ("application/json", "text/html")) not in (
        "application/json",
        "text/html",
        None,
    ):
        raise Broken("a media type was chosen that is not on offer")


def words() -> list[bytes]:
    """Cursors, versions, ids, hosts, Accept headers."""
    return [
        b"1.0", b"end", b"4.4096", b"0-4f1d2c3b4a596877", b"p1", b"localhost", b"[::1]",
        b"127.0.0.1", b"::ffff:127.0.0.1%1", b"*/*;q=0.1, application/json;q=0", b"text/*",
    ]  # fmt: skip


# --- bodies ---------------------------------------------------------------------------------------


def run_body(data: bytes) -> None:
    """A body is written whole and comes back, or it is refused and nothing changes."""
    form = FORMS[data[0] % 2] if data else JSON
    try:
        document = form.parse(data[1:])
    except MalformedBody as error:
        check_length(error, data)
        return
    items = document.get("writes") if type(document) is dict else None
    if type(items) is not list:
        items = [document]
    store = open_store()
    for item in items[: limits.WRITES_PER_BATCH_MAX]:
        before = store.digest().digest
        try:
            _write(store, write_of(item, form))
        except (InvalidInput, KindConflict, ProfileErased, VersionMismatch) as error:
            check_length(error, data)
            JSON.encode(document_of(error))
            if store.digest().digest != before:
                raise Broken("a refused write has changed something") from error
    check_sound(store)


def _write(store: Store, write: Write) -> None:
    checked_map({"id": write.id}, "an example", frozenset({"id"}), frozenset())
    store.write(write.id, write.fields, source=write.source, if_version=write.if_version)


def request_bodies() -> list[bytes]:
    """Bodies in both forms, with every operation and every type of value."""
    fields = {
        "name": "Ann", "least": -1, "most": 1.5, "text": None, "title": {"a": [1, {"b": []}]},
        "tags": {"add": ["vip", 1, True, 1.5], "remove": ["lead"]}, "logins": {"increment": 2},
        "mail": {"revoke": True}, "news": {"grant": True}, "odd": {"set": {"add": [1]}},
    }  # fmt: skip
    tagged = {"b": {"$bytes": "aGk="}, "d": {"$datetime": "2026-11-20T10:00:00+01:00"},
              "e": {"$$bytes": 1}}  # fmt: skip
    native = {"b": b"hi", "d": msgpack.Timestamp(1_700_000_000, 1_000)}
    made = []
    for mark, extra, pack in (
        (b"\0", tagged, lambda tree: json.dumps(tree).encode()), (b"\1", native, msgpack.packb),
    ):  # fmt: skip
        one = {"id": "ann", "source": "crm", "fields": {**fields, **extra}}
        two = {"id": "ann", "source": "crm", "fields": {"x": 1}, "if_version": "0-0"}
        made += [mark + pack(one), mark + pack({"writes": [one, two, one]})]
    return made


def mutated_body(data: bytes, chance: random.Random) -> bytes:
    """Change a body by its structure, in either form."""
    if data[:1] == b"\1":
        return b"\1" + mutated_tree(data[1:], chance)
    return data[:1] + mutated_text(data[1:], chance)


def check_length(error: Exception, data: bytes) -> None:
    """Check that an error does not tell much more than was said; escapes take ten characters."""
    if len(str(error)) > 2_000 + 10 * len(data):
        raise Broken(f"{len(data)} bytes are answered by {len(str(error)):,} characters")


SCHEMA_TEXT = Target("schema", run_schema, schemas, mutated_text)
LINKAGE = Target("linkage", run_linkage, linkages, mutated_text)
CONFIGURATION = Target("configuration", run_configuration, configurations, mutated_text)
FIELDS = Target("fields", run_fields, field_lists, mutated_text)
WORDS_TARGET = Target("words", run_words, words, mutated_text, input_bytes_max=2_048)
REQUEST_BODY = Target("request-body", run_body, request_bodies, mutated_body)
