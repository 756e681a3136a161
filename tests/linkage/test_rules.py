"""Linkage rules: what they accept, and what they say about the rest."""

from pathlib import Path
from typing import Any

import pytest

from crdtstore.errors import SchemaError
from crdtstore.linkage import LinkageRules

TEXT = """
blocks = [["born"], ["town", "name"], ["town"]]
sure = [["name", "born"]]

[compare]
name = "name"
born = "code"
town = "exact"
"""


def made(**changed: Any) -> LinkageRules:
    return LinkageRules(
        **{
            "compare": {"name": "name", "born": "code", "town": "exact"},
            "blocks": (("born",), ("town", "name"), ("town",)),
            "sure": (("name", "born"),),
            **changed,
        }
    )


def test_rules_are_read_from_toml(tmp_path: Path) -> None:
    assert LinkageRules.from_toml(TEXT) == made()
    file = tmp_path / "linkage.toml"
    file.write_text("score_min = 0.5\n" + TEXT)
    assert LinkageRules.load(file) == made(score_min=0.5)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"compare": {}}, "compare maps fields"),
        ({"compare": {"name": "sound"}}, "not 'sound'"),
        ({"compare": {f"f{n}": "exact" for n in range(33)}}, "at most 32 fields"),
        ({"blocks": ()}, "blocks is a list of lists"),
        ({"blocks": ("born", "town")}, "blocks is a list of lists"),
        ({"blocks": (("born",), ())}, "blocks is a list of lists"),
        ({"sure": ((["born"],),)}, "which is not compared"),
        ({"sure": (("email",),)}, "'email', which is not compared"),
        ({"blocks": (("born",), ("born", "town"))}, "no field in common"),
        ({"score_min": 0}, "score_min"),
        ({"score_min": "high"}, "score_min"),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        made(**changed)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("blocks =", "this is not TOML"),
        (TEXT + "\n[other]", "'other' is unknown"),
        (TEXT.replace("sure", "# sure"), "sure is missing"),
        ("blocks = []\nsure = []\ncompare = 1", "is a table"),
    ],
)
def test_a_file_that_says_something_else_is_named(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "linkage.toml"
    file.write_text(text)
    with pytest.raises(SchemaError, match=f"(?s){file.name}.*{told}"):
        LinkageRules.load(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"nothing\.toml: cannot be read"):
        LinkageRules.load(tmp_path / "nothing.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(SchemaError, match="not UTF-8"):
        LinkageRules.load(tmp_path / "bytes.toml")
