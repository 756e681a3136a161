"""Another process: the same questions to a policy's function, where text has other hashes."""

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.model.candidates import undecided
from crdtstore.model.survivorship import Claim
from crdtstore.model.values import pack
from crdtstore.testing.broken import LawBroken

_ANSWERS: Final = "CRDTSTORE_ANSWERS_FOR_ANOTHER_PROCESS"
"""Set in a process that answers: a script that it loads does not begin to prove, and ask, anew."""

_PROGRAM: Final = """
import sys
from crdtstore.testing.other_process import answer
out, sys.stdout = sys.stdout, sys.stderr  # a module may print when it is loaded
out.buffer.write(answer(sys.stdin.buffer.read()))
"""


def survivors_elsewhere(choose: Callable[..., Any], questions: Sequence[list[Claim]]) -> list[int]:
    """Return the place of the survivor of each question, as another process finds it.

    That one is asked in the opposite order, which shows what the first question leaves behind.
    Empty for a function that another process cannot find: a lambda, or one inside of a function.
    """
    module = sys.modules.get(getattr(choose, "__module__", None) or "")
    file, name = getattr(module, "__file__", None), getattr(choose, "__qualname__", "<")
    if file is None or "<" in name:
        return []
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    finished = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=pack([choose.__module__, os.path.abspath(file), name, list(questions)]),
        env={
            **os.environ,
            _ANSWERS: "1",
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        timeout=limits.OTHER_PROCESS_TIMEOUT_S,
        check=False,
    )
    if finished.returncode != 0:
        raise LawBroken(
            f"{name} breaks the law of process: another process cannot run it",
            f"  {finished.stderr.decode(errors='replace').strip().splitlines()[-1]}",
            "It depends on something that is set up in this process alone.",
        )
    places: list[int] = msgpack.unpackb(finished.stdout)
    return places


def is_answering() -> bool:
    """Say whether this process only answers another one's questions."""
    return _ANSWERS in os.environ


def answer(task: bytes) -> bytes:
    """Answer the questions in the other process."""
    module_name, file, name, questions = msgpack.unpackb(task, use_list=False, timestamp=3)
    choose = _module(module_name, file)
    for part in name.split("."):
        choose = getattr(choose, part)
    places = []
    for claims in reversed(questions):
        candidates = [undecided(claim, "field") for claim in claims]
        chosen = choose(tuple(candidates))
        places.append([candidate is chosen for candidate in candidates].index(True))
    return pack(places[::-1])


def _module(name: str, file: str) -> Any:
    """Return the module of a file: by its name where that leads to the file, else by the file."""
    try:
        module = importlib.import_module(name)
        if os.path.abspath(str(module.__file__)) == file:
            return module
    except (ImportError, AttributeError):
        pass
    spec = importlib.util.spec_from_file_location("module_of_a_policy", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
