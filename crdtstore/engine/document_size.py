"""Document size: what a local write may bring a document to."""

from crdtstore import limits
from crdtstore.errors import LimitExceeded
from crdtstore.model.cells import DENIAL, SET, Cell, Cells
from crdtstore.model.document import Document, canonical_bytes, join


def check_document_size(profile_id: str, document: Document, epoch: int, delta: Cells) -> None:
    """Measure a document that may have become too large; raises LimitExceeded."""
    trails = {key: cell[:3] for key, cell in delta.items()}
    after = len(canonical_bytes(join(document, Document(epoch, trails))))
    before = len(canonical_bytes(document))
    bytes_max = limits.DOCUMENT_BYTES_MAX
    if all(_is_withdrawal(key, cell) for key, cell in delta.items()):
        bytes_max += limits.WITHDRAWAL_BYTES
    if after > bytes_max and after > before:
        document.size_bytes = before
        raise LimitExceeded(f"the document of profile {profile_id!r}", after, bytes_max, "bytes")
    document.size_bytes = after


def _is_withdrawal(key: str, cell: Cell) -> bool:
    """Say whether a cell revokes a consent, or removes an element from a set."""
    return key[0] == DENIAL or (key[0] == SET and bool(cell[0] == cell[1]))
