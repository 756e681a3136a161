"""``crdtstore-cdp``: every command of its page works, the file of the page, and the first run."""

import asyncio
import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.ports import free_port
from crdtstore.errors import ConfigurationError, CrdtstoreError
from replicas.cdp.command import build_parser, main
from replicas.cdp.configuration import load_configuration
from tests.docs import documents
from tests.replicas.cdp import __main__ as first_run
from tests.replicas.cdp.service import beside, track, until_learned, write_config

COMMANDS = [
    words
    for block in documents.blocks("sh")
    for line in block.text.splitlines()
    if line.startswith("crdtstore-cdp ") and (words := shlex.split(line, comments=True))
]


def test_the_commands_of_the_page_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"run", "status", "events", "segments", "projections"}
    assert {words[1] for words in COMMANDS} == asked
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path)

    async def show() -> None:
        async with beside(config) as (service, sender):
            for start in range(0, 2_500, 500):
                await sender.batch(*map(track, range(start, start + 500)))
            await until_learned(service)
            for words in COMMANDS:
                if words[1] in ("run", "segments", "projections"):  # they have tests of their own
                    build_parser().parse_args(words[1:])
                else:
                    assert await asyncio.to_thread(main, words[1:]) == 0, words
            who = (await sender.get("/cdp/events?limit=1"))["events"][0]["profile_id"]
            more = ["events", "tail", "--config", "cdp.toml", "--profile", who, "--count", "2"]
            assert await asyncio.to_thread(main, more) == 0

    asyncio.run(show())
    shown = capsys.readouterr().out
    assert '"last_sequence": 2500' in shown
    assert "2,500 events are in events.parquet" in shown
    assert "2500  20" in shown
    assert 'track Order Completed  {"number": 2492}' in shown
    table = pq.read_table(tmp_path / "events.parquet")
    assert table.column("sequence").to_pylist() == list(range(1, 2_501))
    assert table.column("properties")[7].as_py() == '{"number":7}'
    assert not list(tmp_path.glob("*.partial"))
    assert main(["status", "--config", "cdp.toml"]) == 1, "nobody answers"
    assert main(["run", "--config", "nowhere.toml"]) == 1
    assert "no service answers" in capsys.readouterr().err


def test_what_goes_wrong_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path)
    port = load_configuration(config).port

    def told(*words: str) -> str:
        assert main([*words, "--config", "cdp.toml"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("crdtstore-cdp: ")

    async def show() -> None:
        async with beside(config) as (_, sender):
            await sender.batch(track(1))
            for words, line in (
                (("events", "tail", "--count", "-1"), "limit is a whole number up to 1,000"),
                (("traits", "show", "a b/c"), "profile 'a b/c' is not known here"),
                (("traits", "explain", "a b/c", "huh"), "there is no trait 'huh'"),
                (("projections", "rebuild", "redis"),
                 "there is no such projection; there are none"),
                (("events", "export", "--to", "no/where.parquet"),
                 "cannot write no/where.parquet: No such file or directory"),
            ):  # fmt: skip
                assert await asyncio.to_thread(told, *words) == line
            odd = ["events", "tail", "--profile", "a b/c", "--config", "cdp.toml"]
            assert await asyncio.to_thread(main, odd) == 0
            lines = ["events", "tail", "--json", "--config", "cdp.toml"]
            capsys.readouterr()
            assert await asyncio.to_thread(main, lines) == 0
            assert json.loads(capsys.readouterr().out)["message_id"] == "m1"

    asyncio.run(show())
    missing = f"no service answers at 127.0.0.1:{port}: Connection refused; "
    missing += "is it running? `run` starts it"
    assert told("status") == told("segments", "list") == missing
    told("events", "export", "--to", "events.parquet")
    assert not list(tmp_path.glob("*.p*"))


def test_the_first_run_tells_its_story(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_run, "_PORTS", {name: free_port(2) for name in ("eu", "us")})
    assert asyncio.run(first_run.show(tmp_path, visitors=3))
    shown = capsys.readouterr().out
    assert "seen_in_us = True" in shown
    assert "orders at eu: " in shown
    assert "orders at us: " in shown
    assert "segment to_be_written_to: 2 persons" in shown
    assert "consent.ads = False" in shown


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "name is missing"),
        ('name = "a"\ndata = "a"', "write_keys is missing"),
        ('nane = "a"', "'nane' is unknown"),
        ("name = 1", "name is a str"),
        ("GOOD\n[log]\nbytes_max = 0", "bytes_max is too small"),
        ('GOOD\n[log]\nage_s_max = "long"', "age_s_max is a float"),
        ("GOOD\n[collect]\nspeed = 1", "'speed' is unknown"),
        ("GOOD\n[identify.fields]\na = 1", "a is a str"),
        ('GOOD\n[consent]\nprefix = ""', "prefix is not empty"),
        ('listen = "here"\nGOOD', "is no address"),
        ('token_file = "absent"\nGOOD', "cannot read"),
        ("peers = [1]\nGOOD", "peers is a list of texts"),
        ("GOOD\n[write_keys]\na = 1", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_starts(
    tmp_path: Path, text: str, complaint: str
) -> None:
    good = 'name = "a"\ndata = "a"\n[write_keys]\nweb = "key"'
    path = tmp_path / "cdp.toml"
    path.write_text(text.replace("GOOD", good))
    with pytest.raises(ConfigurationError, match=complaint):
        load_configuration(path)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        (
            "traits",
            "[traits.email]\nfold = 'count'",
            "traits.email: this field is for",
        ),
        ("traits", "[traits.groups]\nfold = 'count'", "traits.groups: this field is for groups"),
        ("traits", "[traits.x]\nfold = 'sum'", "traits.toml: traits.x: sum needs a property"),
        ("segments", "[segments.a]\nall = [{trait = 'ordres', ge = 2}]", "reads trait 'ordres'"),
    ],
)
def test_wrong_definitions_are_refused_before_anything_starts(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    config = write_config(tmp_path, f'{name}_file = "{name}.toml"')
    (tmp_path / f"{name}.toml").write_text(text)
    with pytest.raises(CrdtstoreError, match=complaint):
        load_configuration(config)


def test_write_keys_are_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "cdp.toml"
    path.write_text('name = "a"\ndata = "a"\n[write_keys]\nweb = "key"\nshop = "key"')
    with pytest.raises(ConfigurationError, match="a key of its own"):
        load_configuration(path)
