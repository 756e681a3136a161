"""The words of put: what they mean, and what they are refused for."""

from typing import Any

import pytest

from crdtstore.cli.client import RequestFailed
from crdtstore.cli.fields import fields_of
from crdtstore.cli.main import parse


def parsed(*words: str) -> dict[str, Any]:
    return fields_of(parse(["put", "ann", *words]))


def test_text_stays_text_whatever_it_looks_like() -> None:
    words = ("zip=01234", "phone=5551234", "yes=true", "none=null", "empty=", "url=http://x?a=b:=c")
    assert parsed(*words) == {
        "zip": "01234",
        "phone": "5551234",
        "yes": "true",
        "none": "null",
        "empty": "",
        "url": "http://x?a=b:=c",
    }


def test_json_is_written_as_it_stands() -> None:
    assert parsed("age:=41", "ok:=true", "list:=[1, 2]", 'map:={"add": [1]}') == {
        "age": 41,
        "ok": True,
        "list": [1, 2],
        "map": {"set": {"add": [1]}},
    }


def test_fields_may_stand_anywhere() -> None:
    words = ("a=1", "--add", "tags=vip", "b=2", "--source", "crm", "c=3")
    assert parsed(*words) == {"a": "1", "b": "2", "c": "3", "tags": {"add": ["vip"]}}
    for unknown in ("--adds", "--sourc", "-x"):
        with pytest.raises(SystemExit):
            parse(["put", "ann", "a=1", unknown, "b=2"])


def test_operations_have_flags() -> None:
    words = (
        "--add", "tags=vip", "--add", "tags:=7", "--remove", "tags=lead", "--increment", "logins",
        "--increment", "spent=1.5", "--decrement", "credit=3", "--grant", "marketing",
        "--revoke", "sms", "--clear", "phone",
    )  # fmt: skip
    assert parsed(*words) == {
        "tags": {"add": ["vip", 7], "remove": ["lead"]},
        "logins": {"increment": 1},
        "spent": {"increment": 1.5},
        "credit": {"decrement": 3},
        "marketing": {"grant": True},
        "sms": {"revoke": True},
        "phone": None,
    }


@pytest.mark.parametrize(
    "words",
    [
        (), ("email",), ("=x",), (":=1",), ("age:=",), ("age:=NaN",), ('m:={"a":1,"a":2}',),
        ("a=1", "a=2"), ("a=1", "--add", "a=x"), ("--clear", "a", "--grant", "a"),
        ("--add", "tags"), ("--increment", "n=x"), ("--grant", "a", "--revoke", "a"),
        ("a:={}", "--add", "a=x"), ("--add", "a=x", "--increment", "a"),
        ("a:=1e999",), ("a:=" + "[" * 100_000,), ("--increment", "n=nan"), ("--decrement", "n=inf"),
        ("--increment", "n=" + "9" * 5_000), ("a:=" + "9" * 5_000,),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(RequestFailed):
        parsed(*words)


def test_a_number_that_is_no_number_here_is_refused_in_short() -> None:
    with pytest.raises(RequestFailed, match="is not a number") as refused:
        parsed("--increment", "n=" + "9" * 400)
    assert len(str(refused.value)) < 250
