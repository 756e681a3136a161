"""Each rule of the layout can fail: a file that breaks it, and one that does not."""

import pytest

from tests import layout_rules as rules
from tests import service_rules

DOC = '"""A module."""\n'
LONG_FUNCTION = DOC + "def run() -> None:\n" + "    print()\n" * 70
WIDE_CLASS = DOC + "class Wide:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(16))
UNFINISHED = "# TO" + "DO: later\n"
PATH = "see " + "/ho" + "me/ann/data\n"

BROKEN = [
    (rules.import_direction, "crdtstore/model/a.py", "from crdtstore.sync.frame import seal"),
    (rules.import_direction, "crdtstore/sync/a.py", "import crdtstore.model.cells"),
    (rules.import_direction, "crdtstore/model/a.py", "from crdtstore import Replica"),
    (rules.import_direction, "crdtstore/engine/a.py", "from crdtstore.store import Store"),
    (rules.import_direction, "crdtstore/storage/a.py", "from crdtstore.model import cells"),
    (rules.import_direction, "crdtstore/store.py", "from crdtstore.testing import strategies"),
    (rules.import_direction, "crdtstore/server/a.py", "def f():\n import crdtstore.storage.x"),
    (
        service_rules.service_imports,
        "replicas/crm/a.py",
        "from crdtstore.engine.feed import Change",
    ),
    (
        service_rules.service_imports,
        "replicas/crm/a.py",
        "from crdtstore.server.auth import check_secret",
    ),
    (service_rules.service_imports, "replicas/crm/a.py", "from crdtstore import limits"),
    (service_rules.service_imports, "replicas/crm/a.py", "import replicas.cdp.events"),
    (service_rules.pure_parts_of_services, "replicas/crm/salesforce/a.py", "import time"),
    (service_rules.pure_parts_of_services, "replicas/crm/link.py", "async def f(): ..."),
    (rules.pure_parts, "crdtstore/model/a.py", "import time"),
    (rules.pure_parts, "crdtstore/sync/a.py", "from os.path import join"),
    (rules.pure_parts, "crdtstore/sync/a.py", "async def f(): ..."),
    (rules.pure_parts, "crdtstore/model/a.py", "open('x')"),
    (rules.library_homes, "crdtstore/engine/a.py", "import lmdb"),
    (rules.library_homes, "crdtstore/model/a.py", "from hypothesis import given"),
    (rules.library_homes, "crdtstore/store.py", "import aiohttp.web"),
    (rules.file_names, "crdtstore/engine/utils.py", DOC),
    (rules.folder_depth, "crdtstore/a/b/c/d.py", DOC),
    (rules.docstrings, "a.py", "x = 1"),
    (rules.docstrings, "a.py", DOC + "def f(): ..."),
    (rules.docstrings, "a.py", DOC + 'class A:\n    """An A."""\n    def f(self): ...'),
    (rules.docstrings, "a.py", DOC + 'def f():\n    """no sentence"""'),
    (rules.broad_exceptions, "a.py", "try:\n    f()\nexcept Exception:\n    raise"),
    (rules.broad_exceptions, "a.py", "try:\n    f()\nexcept (OSError, Exception) as e:\n    pass"),
    (rules.broad_exceptions, "a.py", "try:\n    f()\nexcept BaseException:\n    pass"),
    (rules.broad_exceptions, "a.py", "try:\n    f()\nexcept:\n    raise"),
    (rules.bounds, "crdtstore/store.py", "PEERS_MAX: Final = 64"),
    (rules.bounds, "crdtstore/store.py", "_SEND_TIMEOUT_S = 2 * 10.0"),
    (rules.function_length, "a.py", LONG_FUNCTION),
    (rules.class_width, "a.py", WIDE_CLASS),
    (rules.file_length, "a.py", "x\n" * 401),
    (rules.line_length, "a.py", "x" * 101),
    (rules.line_length, "a.md", "x" * 101),
    (rules.absolute_paths, "a.md", PATH),
    (rules.unfinished, "a.py", UNFINISHED),
    (rules.blanks, "a.py", "x = 1 \n"),
    (rules.blanks, "a.py", "x = 1"),
]

SOUND = [
    (
        service_rules.service_imports,
        "replicas/crm/a.py",
        "from crdtstore import Replica\nimport crdtstore",
    ),
    (service_rules.service_imports, "replicas/crm/a.py", "from crdtstore.errors import Refused"),
    (service_rules.service_imports, "replicas/crm/a.py", "from replicas.crm.link import Link"),
    (service_rules.pure_parts_of_services, "replicas/crm/driver.py", "import asyncio"),
    (rules.import_direction, "crdtstore/engine/a.py", "from crdtstore.model import cells"),
    (rules.import_direction, "crdtstore/model/a.py", "from crdtstore import limits"),
    (rules.pure_parts, "crdtstore/store.py", "import time"),
    (rules.pure_parts, "crdtstore/model/a.py", "from datetime import datetime"),
    (rules.library_homes, "crdtstore/storage/a.py", "import lmdb"),
    (rules.docstrings, "a.py", DOC + "def _f(): ..."),
    (rules.broad_exceptions, "a.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
    (rules.bounds, "crdtstore/limits.py", "PEERS_MAX: Final = 64"),
    (rules.bounds, "crdtstore/store.py", "PART_MAX: Final = limits.PEERS_MAX // 2"),
    (rules.function_length, "a.py", LONG_FUNCTION.replace("    print()\n", "", 1)),
    (rules.file_length, "a.py", "x\n" * 400),
    (rules.line_length, "a.md", "| " + "x" * 101),
    (rules.absolute_paths, "a.md", "GET https://example.com/" + "home/x and ./ho" + "me/x\n"),
    (rules.blanks, "Makefile", "run:\n\tx\n"),
]


@pytest.mark.parametrize(("rule", "name", "text"), BROKEN)
def test_a_broken_rule_is_noticed(rule: rules.Rule, name: str, text: str) -> None:
    assert list(rule(name, text))


@pytest.mark.parametrize(("rule", "name", "text"), SOUND)
def test_a_kept_rule_is_not(rule: rules.Rule, name: str, text: str) -> None:
    assert list(rule(name, text)) == []


def test_a_limit_without_a_reason_is_noticed() -> None:
    text = "A: Final = 1\nB_MIN: Final = 2\nB_MAX: Final = 2\n'why'\nC: Final = 3\n'why'"
    assert rules.limits_without_reason(text) == ["A"]
