"""Every scenario says what its file says it does."""

from pathlib import Path

import pytest

from crdtstore.testing.simulation.scenario import main, played

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_replicas_say_what_the_scenario_expects(path):
    text = path.read_text("utf-8")
    assert played(text) == text


def test_a_scenario_that_says_something_else_is_told_and_rewritten(tmp_path, capsys):
    path = tmp_path / "short.txt"
    path.write_text("replicas eu us mesh\nwrite eu ann crm x=1\nread eu ann\n----\nwrong\n")
    assert main([str(path)]) == 1
    assert "says something else" in capsys.readouterr().out
    assert main([str(path), "--rewrite"]) == 0
    assert path.read_text().endswith("----\neu: ann {'x': '1'}\n")
    assert main([str(path)]) == 0


def test_a_command_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="'explode' is no command"):
        played("replicas eu us mesh\nexplode eu\n")
