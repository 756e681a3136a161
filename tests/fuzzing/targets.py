"""All targets by name, and the corpus that is kept of each."""

from pathlib import Path

from tests.fuzzing import editors, filters, http, links, logs, stored, texts, updates, wire
from tests.fuzzing.target import Target

CORPUS = Path(__file__).with_name("corpus")

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        wire.PACKED, wire.FRAME, wire.BODY, wire.DOCUMENTS, wire.MESSAGE, links.LINK,
        stored.RECORDS, stored.PACKED_DOCUMENT, logs.LOG, stored.LMDB_FILE, stored.BACKUP,
        texts.REQUEST_BODY, texts.WORDS_TARGET, texts.SCHEMA_TEXT, texts.LINKAGE,
        texts.CONFIGURATION, texts.FIELDS, updates.UPDATE, editors.YJS_MESSAGE, editors.DELTA,
        filters.FILTER, http.HTTP, http.CALLER,
    )
}  # fmt: skip


def kept(name: str) -> list[Path]:
    """Return the kept inputs of a target, in order."""
    return sorted((CORPUS / name).glob("*"))
