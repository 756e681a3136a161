"""Reading the documents: their fenced blocks, tables and links."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "crdtstore/demo/data/README.md",
    *sorted((ROOT / "replicas").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a document."""

    place: str
    language: str
    text: str


def read(name: str) -> str:
    """Return the text of a document."""
    return (ROOT / name).read_text("utf-8")


def blocks(language: str) -> list[Block]:
    """Return the fenced blocks of a language in all documents, in order."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            place = f"{path.relative_to(ROOT).as_posix()}:{line}"
            if match[1] == language:
                found.append(Block(place, match[1], match[2]))
    return found


def without_fences(text: str) -> str:
    """Return a document without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Return the targets of all links of a document."""
    return _LINK.findall(without_fences(text))


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_fences(text), re.MULTILINE)
    plain = [re.sub(r"[`*]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def code_words(text: str) -> list[str]:
    """Return what stands between backticks outside of fenced blocks."""
    return _CODE.findall(without_fences(text))


def section(text: str, heading: str) -> str:
    """Return the part of a document under a heading, up to the next one of any level."""
    match = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None, f"there is no heading {heading!r}"
    return match[1]


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables of a text: each a list of rows of cells, its header first."""
    found: list[list[list[str]]] = []
    is_in_table = False
    for line in text.splitlines():
        if not line.startswith("|"):
            is_in_table = False
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            continue
        if not is_in_table:
            found.append([])
        is_in_table = True
        found[-1].append(cells)
    return found


def table_of(name: str, heading: str, number: int = 0) -> dict[str, list[str]]:
    """Return a table under a heading: the word in its first column to the other columns."""
    rows = tables(section(read(name), heading))[number][1:]
    named = {row[0].strip("`"): row[1:] for row in rows}
    assert len(named) == len(rows), f"{name}, {heading}: something stands there twice"
    return named
