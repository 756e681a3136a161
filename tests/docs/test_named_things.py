"""What the documents name is in the code, and what must be documented is in the documents."""

import ast
import asyncio
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from crdtstore import (
    Replica,
    Schema,
    Settings,
    errors,
    limits,
    person_errors,
)
from crdtstore.cli import configuration
from crdtstore.cli.main import build_parser
from crdtstore.collaboration import revisions, trials
from crdtstore.engine import conflict_errors
from crdtstore.errors import CrdtstoreError, ProtocolError, StorageError
from crdtstore.linkage import LinkageRules
from crdtstore.model import shared
from crdtstore.policy import POLICY_OPTIONS
from crdtstore.query import bounds as query_bounds
from crdtstore.query import refusals
from crdtstore.server import application as build_application
from crdtstore.server.application import _ROUTES
from crdtstore.server.problems import status_of
from crdtstore.stream import bounds
from replicas.cdp.configuration import load_configuration as load_cdp_configuration
from replicas.cdp.followers import FollowSettings
from replicas.cdp.segments.definitions import SegmentDefinitions
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.crm.configuration import load_configuration
from tests.docs import documents
from tests.docs.documents import DOCUMENTS, ROOT

OPERATIONS = "docs/operations.md"


def number(text: str) -> int:
    """Return the number that a table writes with commas."""
    return int(text.replace(",", ""))


# --- settings ------------------------------------------------------------------------------------


def test_every_setting_of_the_store_has_its_row_unit_and_default() -> None:
    rows = documents.table_of(OPERATIONS, "Configuration", 1)
    named = [setting for setting in fields(Settings) if setting.repr]  # the others are secrets
    assert list(rows) == [setting.name for setting in named]
    for setting in named:
        unit, default, _ = rows[setting.name]
        if isinstance(setting.default, str):
            assert (unit, default) == ("path", "empty" if not setting.default else setting.default)
            continue
        assert number(default) == setting.default, setting.name
        is_bytes = "bytes" in setting.name.split("_")
        assert unit == ("bytes" if is_bytes else "milliseconds"), setting.name
    assert f"{limits.COMMIT_INTERVAL_MS_MAX:,}" in rows["commit_interval_ms"][2]


def test_every_setting_of_serve_has_its_row_flag_and_default() -> None:
    rows = documents.table_of(OPERATIONS, "Configuration", 0)
    known = {"config", *configuration._TEXTS, *configuration._SECRET_FILES, "peers"}
    assert set(rows) == known
    for name, (flag, default, _) in rows.items():
        word = {"peers": "peer"}.get(name, name)
        assert flag.strip("`") == "--" + word.replace("_", "-")
        if default == "must be given":
            with pytest.raises(errors.ConfigurationError, match=f"--{name}"):
                configuration.serve_configuration({}, {})
    made = configuration.serve_configuration({"name": "eu", "data": "eu"}, {})
    assert rows["listen"][1].strip("`") == f"{made.host}:{made.port}"
    for name in ("space", "log_format", "log_level"):
        assert rows[name][1].strip("`") == getattr(made, name)


def test_every_flag_of_serve_is_in_the_table(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["serve", "--help"])
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out.partition("examples:")[0]))
    rows = documents.table_of(OPERATIONS, "Configuration", 0)
    assert flags - {"--help"} == {row[0].strip("`") for row in rows.values()}


def test_environment_variables_that_are_named_exist() -> None:
    secrets = {f"{name}{end}" for name in configuration._SECRETS for end in ("", "_file")}
    names = {*configuration._TEXTS, *configuration._SETTINGS, *secrets}
    known = {f"CRDTSTORE_{name.upper()}" for name in names | {"peers", "config", "url", "source"}}
    named = {
        variable
        for path in DOCUMENTS
        for variable in re.findall(r"CRDTSTORE_[A-Z_]*[A-Z]", path.read_text("utf-8"))
    }
    assert named <= known
    assert {f"CRDTSTORE_{secret.upper()}" for secret in secrets} <= named


@pytest.mark.parametrize("block", documents.blocks("toml"), ids=lambda block: block.place)
def test_toml_examples_are_read(block: documents.Block, tmp_path: Path) -> None:
    if "[fields." in block.text:
        assert Schema.from_toml(block.text).fields
        return
    if "[compare]" in block.text:
        assert LinkageRules.from_toml(block.text).compare
        return
    if "[identity]" in block.text:
        assert Schema.from_toml(block.text) != Schema()
        return
    if "[segments." in block.text:
        assert SegmentDefinitions.parse(block.text).segments
        return
    if "[projections." in block.text:
        asked = FollowSettings.of(tomllib.loads(block.text), tmp_path)
        assert asked.redis
        assert asked.postgresql
        return
    path = tmp_path / "eu.toml"
    path.write_text(block.text, "utf-8")
    if "[traits." in block.text:
        assert TraitDefinitions.load(path).by_name
        return
    if "[write_keys]" in block.text:
        page = block.place.partition(":")[0]
        for other in documents.blocks("toml"):
            for name in ("traits", "segments"):
                if other.place.startswith(page) and other.text.startswith(f"[{name}."):
                    (tmp_path / f"{name}.toml").write_text(other.text, "utf-8")
        told = load_cdp_configuration(path)
        assert told.traits.by_name
        assert told.follow.segments is not None
        return
    if "[salesforce]" in block.text:
        (tmp_path / "salesforce-secret").write_text("secret")
        assert load_configuration(path).vendors
        return
    made = configuration.serve_configuration({"config": str(path)}, {})
    assert made.data == tmp_path / "eu"
    assert made.peers
    assert made.settings != Settings()


# --- limits --------------------------------------------------------------------------------------


def test_limits_have_the_values_that_are_told() -> None:
    rows = documents.table_of("docs/limitations.md", "Limits")
    assert len(rows) > 20
    for name, (value, _) in rows.items():
        homes = (limits, bounds, query_bounds)
        assert number(value) in [getattr(home, name, None) for home in homes], name


def test_constants_that_are_named_exist() -> None:
    for path in DOCUMENTS:
        for word in documents.code_words(path.read_text("utf-8")):
            is_constant = re.fullmatch(r"[A-Z]+(_[A-Z]+)+", word) and "SNAPSHOT_" not in word
            if is_constant and not word.startswith("CRDTSTORE_"):
                homes = (limits, bounds, query_bounds)
                assert any(hasattr(home, word) for home in homes), (
                    f"{path.relative_to(ROOT)}: {word}"
                )


def test_numbers_of_operations_are_the_limits() -> None:
    page = " ".join(documents.read(OPERATIONS).split())
    assert f"{limits.SECRET_BYTES_MIN} to {limits.SECRET_BYTES_MAX:,} visible" in page
    assert f"from {limits.BALLAST_BYTES_MIN:,} to {limits.BALLAST_BYTES:,} bytes" in page
    assert limits.BALLAST_DATA_DIVISOR == 16, "a sixteenth"
    assert f"up to {limits.WRITES_PER_BATCH_MAX:,} writes" in page
    assert f"{limits.SNAPSHOT_FRESH_PROFILES_MIN:,} profiles or more" in page
    assert f"pauses of up to {limits.RECONNECT_MAX_S:g} seconds" in page
    assert f"silent for {limits.LINK_IDLE_MS_MAX // 1000} seconds" in page
    assert f"no snapshot for {limits.SNAPSHOT_PATIENCE_MS // 1000}" in page
    assert f"within {limits.BODY_TIMEOUT_S:g} seconds" in page
    assert f"at most {limits.BODY_BYTES_MAX:,} bytes" in page
    assert f"a space takes {limits.ORIGINS_MAX:,}" in page
    assert f"dirty documents, {limits.CHECKPOINT_DOCUMENTS:,} as a rule" in page
    assert f"up to {limits.DIRTY_DOCUMENTS_BEFORE_WRITES:,} dirty documents" in page
    assert f"backlog waits while {limits.DIRTY_DOCUMENTS_MAX:,} are dirty" in page
    assert f"by name, up to {limits.KNOWN_REPLICAS_MAX}." in page
    assert f"every {limits.WAYPOINT_RECORDS} records and at least" in page
    assert limits.FEED_NOTE_MS == limits.ACKNOWLEDGED_RETENTION_MS_DEFAULT == 3_600_000
    assert limits.FULL_RETRY_MS == 1_000


# --- errors --------------------------------------------------------------------------------------


ERRORS = (
    errors.__name__,
    conflict_errors.__name__,
    person_errors.__name__,
    refusals.__name__,
    revisions.__name__,
    shared.__name__,
    trials.__name__,
)
"""The modules of errors that callers meet."""


def classes_of(kind: type[CrdtstoreError]) -> dict[str, type[CrdtstoreError]]:
    """Return the errors below a kind by code; one that has kinds of its own is none itself."""
    below = [each for each in kind.__subclasses__() if each.__module__ in ERRORS]
    found: dict[str, type[CrdtstoreError]] = {}
    for each in below:
        found |= classes_of(each)
    if not below or kind in (errors.InvalidInput, errors.ConfigurationError):
        found[kind.code] = kind
    return found


def problem_codes() -> set[str]:
    """Return the codes of the problems that the server itself makes."""
    codes = set()
    for path in (ROOT / "crdtstore/server").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            place = {"Problem": 1, "bad_request": 0}.get(node.func.id)
            if place is not None and isinstance(node.args[place], ast.Constant):
                codes.add(str(node.args[place].value))
    return codes


def refusal_codes() -> set[str]:
    """Return the codes with which a link can be refused."""
    literals = set()
    for name in ("links/exchange.py", "replica/link.py", "replica/replica.py"):
        for node in ast.walk(ast.parse((ROOT / "crdtstore" / name).read_text("utf-8"))):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_call and node.func.attr in ("_refuse", "refuse"):
                literals |= {
                    argument.value
                    for argument in node.args
                    if isinstance(argument, ast.Constant)
                    and re.fullmatch(r"[a-z]+(-[a-z]+)*", str(argument.value))
                }
    storage = {errors.StorageFull.code, errors.StorageFailed.code, errors.StorageCorrupt.code}
    return literals | storage | set(classes_of(ProtocolError))


def test_every_error_has_its_row_and_status() -> None:
    rows = documents.table_of(OPERATIONS, "Errors")
    known = classes_of(CrdtstoreError)
    assert len(known) > 20
    assert set(rows) == set(known) | problem_codes()
    for code, kind in known.items():
        ways = rows[code][0].split(", ")
        numbers = [int(way) for way in ways if way.isdigit()]
        status = status_of(kind.__new__(kind))
        assert numbers in ([], [status]), code
        assert set(ways) - {str(status)} <= {"start", "link", "client"}, code
        assert ("client" in ways) == issubclass(kind, errors.ClientError), code
        assert ("link" in ways) == (code in refusal_codes()), code


def test_every_problem_has_its_status() -> None:
    rows = documents.table_of(OPERATIONS, "Errors")
    for path in (ROOT / "crdtstore/server").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
                status, code = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                    assert rows[str(code.value)][0] == str(status.value)


def test_every_refusal_of_a_link_is_explained_twice() -> None:
    assert len(refusal_codes()) > 10
    assert set(documents.table_of("docs/protocol.md", "Refusals")) == refusal_codes()
    assert set(documents.table_of(OPERATIONS, "Refused links")) == refusal_codes()


def test_a_disk_in_trouble_is_an_error_of_storage() -> None:
    rows = documents.table_of(OPERATIONS, "Errors")
    assert set(classes_of(StorageError)) <= set(rows)


# --- surfaces ------------------------------------------------------------------------------------


def test_every_metric_has_its_row_and_type(tmp_path: Path) -> None:
    async def scrape() -> str:
        peers = ["http://127.0.0.1:9"]
        async with (
            Replica.open(tmp_path / "eu", name="eu", peers=peers) as replica,
            TestClient(TestServer(build_application(replica))) as client,
        ):
            await client.get("/healthz")
            return await (await client.get("/metrics")).text()

    told = dict(re.findall(r"^# TYPE (\S+) (\S+)$", asyncio.run(scrape()), re.MULTILINE))
    rows = documents.table_of(OPERATIONS, "Health, metrics, logs")
    assert {name: row[0] for name, row in rows.items()} == told
    for path in DOCUMENTS:
        for word in documents.code_words(path.read_text("utf-8")):
            if word.startswith("crdtstore_"):
                assert word in told, f"{path.relative_to(ROOT)}: {word}"


def test_every_route_has_its_row() -> None:
    rows = documents.tables(documents.section(documents.read(OPERATIONS), "The HTTP API"))[0][1:]
    told = [(method, path.strip("`")) for method, path, _ in rows]
    assert told == [(method, path.replace(":[^/]+", "")) for method, path, _ in _ROUTES]


def test_loggers_that_are_named_exist() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "crdtstore").rglob("*.py"))
    made = set(re.findall(r'getLogger\("(crdtstore\.\w+)"\)', code))
    page = documents.section(documents.read(OPERATIONS), "Health, metrics, logs")
    named = {word for word in documents.code_words(page) if word.startswith("crdtstore.")}
    assert named == made


def test_the_changelog_names_every_policy_and_command() -> None:
    words = set(documents.code_words(documents.read("CHANGELOG.md")))
    assert set(POLICY_OPTIONS) <= words
    choices = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert set(choices or ()) <= {word.removeprefix("crdtstore ") for word in words}


def test_dependencies_are_those_of_the_record() -> None:
    record = documents.read("docs/decisions/0011-dependencies.md")
    project = documents.read("pyproject.toml")
    for library in ("aiohttp", "lmdb", "msgpack", "prometheus-client", "rich", "pycrdt", "uvloop"):
        assert f"`{library}`" in record
        assert f'"{library}>=' in project
