"""Random histories of erasures: what is suppressed stays away, what is erased leaves no byte."""

import pytest

from crdtstore.testing.simulation.forgetting import Forgetting, main


@pytest.mark.parametrize("seed", range(25))
def test_all_replicas_forget_and_confirm(seed: int) -> None:
    Forgetting(seed).run()


def test_the_command_plays_so_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2", "--first", "100"]) == 0
    assert capsys.readouterr().out == "2 histories of erasures keep all promises\n"
