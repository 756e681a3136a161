"""The demo's command, where what it needs is not installed."""

import argparse

import pytest

from crdtstore.demo import run


def test_without_rich_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    assert run.run(parser.parse_args(["--exit"])) == 1
    assert "pip install 'crdtstore[server]'" in capsys.readouterr().err
