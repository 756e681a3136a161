"""The rules of the house, each a function from a file's name and text to complaints."""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

Complaints: TypeAlias = Iterator[tuple[int, str]]
Rule: TypeAlias = Callable[[str, str], Complaints]

COLUMNS_MAX: Final = 100
FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 70
PUBLIC_METHODS_MAX: Final = 15

_GROUND: Final = frozenset({"limits", "errors", "person_errors"})
_MODEL_GROUND: Final = _GROUND | {"clock", "names", "packing", "identity_rules", "policy", "schema"}
_ENGINE: Final = _GROUND | {
    "clock", "names", "packing", "identity_rules", "schema", "model", "query", "sync", "storage",
    "engine",
}  # fmt: skip
_HEART: Final = _ENGINE | {"policy", "settings", "store", "links"}
_BODY: Final = _HEART | {
    "json_text", "digesting", "commit_pace", "group_commit", "collaboration", "export", "stream",
    "replica", "turns",
}  # fmt: skip

MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(("limits", "errors", "clock"), frozenset()),
    "person_errors": frozenset({"errors"}),
    "names": _GROUND,
    "packing": frozenset(),
    "json_text": frozenset(),
    "policy": _GROUND | {"names"},
    "toml": frozenset({"limits"}),
    "toml_tables": _GROUND,
    "identity_rules": _GROUND | {"toml_tables"},
    "schema": _GROUND | {"names", "policy", "identity_rules", "toml", "toml_tables"},
    "settings": _GROUND,
    "racing": frozenset(),
    "turns": frozenset({"limits"}),
    "logs": _GROUND,
    "model": _MODEL_GROUND,
    "query": _GROUND | {"names", "identity_rules", "schema", "model"},
    "sync": _GROUND | {"names", "packing", "json_text"},
    "storage": _GROUND,
    "engine": (_ENGINE - {"engine"}) | {"stream"},
    "store": _ENGINE | {"settings"},
    "links": _GROUND | {"engine", "store", "sync"},
    "digesting": _GROUND | {"engine", "store", "turns"},
    "commit_pace": _GROUND | {"storage"},
    "group_commit": _GROUND | {"commit_pace", "digesting", "engine", "links", "storage", "turns"},
    "collaboration": _ENGINE | {"group_commit", "links", "store"},
    "linkage": _GROUND | {"names", "toml", "toml_tables", "identity_rules", "engine", "store"},
    "traits": _GROUND | {"model"},
    "export": _GROUND | {"schema", "model", "query"},
    "stream": _GROUND | {"model"},
    "client": _GROUND | {"model", "racing", "stream"},
    "replica": _HEART | {"collaboration", "digesting", "export", "group_commit", "stream", "turns"},
    "__init__": _BODY | {"client", "query"},
    "server": _GROUND
    | {"names", "packing", "model", "query", "export", "engine", "replica", "stream"}
    | {"collaboration", "racing", "turns"},
    "demo": _GROUND | {"names"},
    "cli": _GROUND
    | {"logs", "schema", "settings", "toml", "export", "replica", "server", "demo"}
    | {"identity_rules", "linkage"},
    "testing": _BODY,
}
"""Which part of the package may import which others. A part may always import itself."""

PURE_PARTS: Final = ("model", "query", "stream", "sync")
"""They know no clock, no chance, no file and no network."""

FORBIDDEN_IN_PURE: Final = frozenset(
    {"asyncio", "logging", "os", "random", "secrets", "select", "socket", "threading", "time"}
)
"""What the pure parts never import."""

HOMES: Final[dict[str, tuple[str, ...]]] = {
    "lmdb": ("storage",),
    "hypothesis": ("testing",),
    "aiohttp": ("replica", "server", "client", "cli", "demo"),
    "prometheus_client": ("server",),
    "uvloop": ("server",),
    "rich": ("cli", "demo"),
    "phonenumbers": ("model",),
    "idna": ("model",),
    "splink": ("linkage",),
    "duckdb": ("linkage",),
    "pyarrow": ("linkage", "export"),
    "pycrdt": ("model", "collaboration"),
}
"""Which parts may import a third-party library. msgpack is at home wherever bytes are."""

FORBIDDEN_FILE_NAMES: Final = frozenset({"utils", "helpers", "common", "manager", "base", "misc"})

_BOUND_NAME: Final = re.compile(r"_(MAX|MIN|LIMIT|TIMEOUT|PATIENCE)(_|$)")
_ABSOLUTE_PATH: Final = re.compile(r"(?<![\w.:/}\]])/(home|root|tmp|work|Users|usr|var|opt|mnt)/")
_UNFINISHED: Final = re.compile("TO" r"DO|FIX" r"ME|\bX" r"XX\b|\bst" "ub")
_PRAGMA: Final = re.compile(r"\s*# (type: ignore(\[[^]]*\])?|noqa\S*|fmt: \S+)( # .*)?$")
_SENTENCE: Final = re.compile(r"^[A-Z`(\"\d].*[.:?!…]$", re.DOTALL)


def part_of(name: str) -> str:
    """Return the part of the package to which a file belongs ("" outside of it)."""
    folders = name.removesuffix(".py").split("/")
    return folders[1] if folders[0] == "crdtstore" else ""


def imported_names(text: str) -> list[str]:
    """Return the names that a file imports by ``from ... import``."""
    return [
        alias.asname or alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


BOUNDS_FILES: Final = (
    "crdtstore/limits.py", "crdtstore/demo/limits.py", "crdtstore/query/bounds.py",
    "crdtstore/stream/bounds.py", "replicas/cdp/limits.py", "replicas/crm/limits.py",
    "replicas/embedding/limits.py",
)  # fmt: skip
"""Where every bound is, with its unit and reason."""


def limits_without_reason(text: str) -> list[str]:
    """Return the constants of limits.py that no text follows, but for units and pairs."""
    body = ast.parse(text).body
    named = [
        (node.target.id, index)
        for index, node in enumerate(body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    units = {"KIBIBYTE", "MEBIBYTE"}
    reasoned = {index for index, node in enumerate(body[1:]) if _is_text(node)}
    maxima = {name for name, index in named if index in reasoned and name.endswith("_MAX")}
    maxima |= {name for name, index in named if index in reasoned and name.endswith("_MAX_S")}
    paired = {name.replace("_MAX", "_MIN") for name in maxima}
    return [n for n, index in named if index not in reasoned and n not in units | paired]


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def imports(text: str) -> Iterator[tuple[int, str]]:
    """Yield every module that is imported, inside functions too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"line {node.lineno} has a relative import"
            if node.module == "crdtstore":
                for alias in node.names:
                    yield node.lineno, f"crdtstore.{alias.name}"
            else:
                yield node.lineno, node.module


def import_direction(name: str, text: str) -> Complaints:
    """A part of the package imports only what lies below it."""
    part = part_of(name)
    allowed = MAY_IMPORT[part] | {part}
    for line, module in imports(text):
        folders = module.split(".")
        if folders[0] != "crdtstore":
            continue
        other = folders[1]
        if other not in MAY_IMPORT:
            other = "__init__"
        if other not in allowed:
            yield line, f"{part} imports {module}"


def pure_parts(name: str, text: str) -> Complaints:
    """The pure parts have no clock, no chance, no file, no network, and nothing async."""
    if part_of(name) in PURE_PARTS:
        yield from impurities(text)


def impurities(text: str) -> Complaints:
    """What a pure file must not have."""
    for line, module in imports(text):
        if module.split(".")[0] in FORBIDDEN_IN_PURE:
            yield line, f"a pure part imports {module}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield node.lineno, "a pure part is async"
        is_plain_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if is_plain_call and ast.unparse(node.func) in ("open", "print", "input", "__import__"):
            yield node.lineno, f"a pure part calls {ast.unparse(node.func)}"


def library_homes(name: str, text: str) -> Complaints:
    """A third-party library has its home parts."""
    for line, module in imports(text):
        homes = HOMES.get(module.split(".")[0])
        if homes is not None and part_of(name) not in homes:
            yield line, f"{module} is imported outside of {', '.join(homes)}"


def file_names(name: str, text: str) -> Complaints:
    """No file is named after nothing."""
    if name.rsplit("/", 1)[-1].removesuffix(".py") in FORBIDDEN_FILE_NAMES:
        yield 1, "a name that says nothing"


def folder_depth(name: str, text: str) -> Complaints:
    """Folders are at most two deep under the package."""
    if name.count("/") > 3:
        yield 1, "folders are too deep"


def docstrings(name: str, text: str) -> Complaints:
    """Every public name has a docstring whose first line is a sentence."""
    tree = ast.parse(text)
    yield from _docstring_of(tree, 1, "the module")
    for node in tree.body:
        yield from _docstrings_in(node)


def _docstrings_in(node: ast.stmt) -> Complaints:
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if not isinstance(node, kinds) or node.name.startswith("_"):
        return
    if any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list):
        return
    yield from _docstring_of(node, node.lineno, node.name)
    if isinstance(node, ast.ClassDef):
        for child in node.body:
            yield from _docstrings_in(child)


def _docstring_of(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, line: int, name: str
) -> Complaints:
    text = ast.get_docstring(node)
    if text is None:
        yield line, f"{name} has no docstring"
    elif not _SENTENCE.match(text.split("\n\n")[0].strip()):
        is_module = isinstance(node, ast.Module)
        first = text.split("\n\n")[0]
        if not (is_module and re.match(r"^(crdtstore\b|``)", first) and first.rstrip()[-1] in ".:"):
            yield line, f"the docstring of {name} does not begin with a sentence"


def broad_exceptions(name: str, text: str) -> Complaints:
    """Nothing catches wider than it can name; BaseException may pass through only."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = "" if node.type is None else ast.unparse(node.type)
        names = re.findall(r"\w+", caught)
        is_passed_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        if node.type is None or "Exception" in names:
            yield node.lineno, "catches everything"
        elif "BaseException" in names and not is_passed_on:
            yield node.lineno, "catches BaseException and keeps it"


def bounds(name: str, text: str) -> Complaints:
    """Every numeric constant that is a bound lives in a file of bounds."""
    if name in BOUNDS_FILES:
        return
    tree = ast.parse(text)
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        if not isinstance(target, ast.Name) or not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        if _BOUND_NAME.search(target.id) and node.value and _is_number(node.value):
            yield node.lineno, f"{target.id} is a bound outside of {' and '.join(BOUNDS_FILES)}"


def _is_number(node: ast.expr) -> bool:
    return all(
        isinstance(part, ast.Constant | ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop)
        and (not isinstance(part, ast.Constant) or type(part.value) in (int, float))
        for part in ast.walk(node)
    )


def function_length(name: str, text: str) -> Complaints:
    """A function fits on a screen."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {lines} lines"


def class_width(name: str, text: str) -> Complaints:
    """A public class has few public methods; properties do not count."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = [
                child.name
                for child in node.body
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                and not child.name.startswith("_")
                and not any("property" in ast.unparse(d) for d in child.decorator_list)
            ]
            if len(methods) > PUBLIC_METHODS_MAX:
                yield node.lineno, f"{node.name} has {len(methods)} public methods"


def file_length(name: str, text: str) -> Complaints:
    """A file can be read in one go; the table of bounds is looked up, not read."""
    lines = text.count("\n")
    if lines > FILE_LINES_MAX and name != "crdtstore/limits.py":
        yield lines, f"has {lines} lines"


def line_length(name: str, text: str) -> Complaints:
    """A line fits beside another file; Markdown lines with tables, links and hex may be longer."""
    for number, line in enumerate(text.splitlines(), 1):
        is_free = name.endswith(".md") and ("|" in line or "](" in line)
        text_alone = _PRAGMA.sub("", line)
        if len(text_alone) > COLUMNS_MAX and not is_free:
            yield number, f"has {len(line)} columns"


def absolute_paths(name: str, text: str) -> Complaints:
    """Nothing depends on where it lies on somebody's machine."""
    for number, line in enumerate(text.splitlines(), 1):
        if _ABSOLUTE_PATH.search(line) and not line.startswith("#!"):
            yield number, "names an absolute path"


def unfinished(name: str, text: str) -> Complaints:
    """Nothing is left for later in a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        if _UNFINISHED.search(line):
            yield number, "is marked as unfinished"


def blanks(name: str, text: str) -> Complaints:
    """Text ends with one newline, and no line ends with blanks."""
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield text.count("\n"), "does not end with one newline"
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip() or ("\t" in line and not name.endswith("Makefile")):
            yield number, "has blanks at its end, or a tab"


PACKAGE_RULES: Final[tuple[Rule, ...]] = (
    import_direction, pure_parts, library_homes, folder_depth, docstrings,
    broad_exceptions, bounds,
)  # fmt: skip
"""What holds for the library alone."""

SOURCE_RULES: Final[tuple[Rule, ...]] = (function_length, class_width)
"""What holds for library, services and benchmarks."""

PYTHON_RULES: Final[tuple[Rule, ...]] = (file_names, file_length)
"""What holds for all Python, tests too."""

TEXT_RULES: Final[tuple[Rule, ...]] = (line_length, absolute_paths, unfinished, blanks)
"""What holds for everything that people read."""
