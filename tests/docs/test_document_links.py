"""Links between the documents, and the names that they take for granted."""

from pathlib import Path

import pytest

from tests.docs import documents
from tests.docs.documents import DOCUMENTS, ROOT

IDS = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]


def test_the_documents_are_there() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    for name in ("architecture", "protocol", "operations", "limitations", "glossary", "testing"):
        assert f"docs/{name}.md" in names
    assert len([name for name in names if name.startswith("docs/decisions/0")]) >= 11
    assert sum(len(documents.links(path.read_text("utf-8"))) for path in DOCUMENTS) > 80


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in documents.links(path.read_text("utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.is_relative_to(ROOT), target
        assert file.exists(), target
        if anchor:
            assert anchor in documents.anchors(file.read_text("utf-8")), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_a_document_has_one_title(path: Path) -> None:
    text = documents.without_fences(path.read_text("utf-8"))
    assert text.startswith("# ")
    assert [line for line in text.splitlines() if line.startswith("# ")][1:] == []


def test_every_decision_is_listed_in_order() -> None:
    listed = documents.links(documents.read("docs/decisions/README.md"))
    files = sorted(path.name for path in (ROOT / "docs/decisions").glob("0*.md"))
    assert listed == files
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))
    for name in files:
        text = documents.read(f"docs/decisions/{name}")
        assert text.startswith(f"# {int(name[:4])}. ")
        assert "**Decided.**" in text
        assert "**Costs.**" in text


def test_what_keeps_a_promise_is_in_the_code() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "crdtstore").rglob("*.py"))
    rows = documents.tables(
        documents.section(documents.read("docs/architecture.md"), "The promises")
    )
    for promise, keepers, proofs in rows[0][1:]:
        assert documents.links(proofs), promise
        for word in documents.code_words(keepers):
            for name in word.split("."):
                assert f"{name}" in code, f"{promise}: {word}"


def test_the_glossary_is_in_order() -> None:
    words = list(documents.table_of("docs/glossary.md", "Glossary"))
    assert words == sorted(words)
    assert len(words) > 40
