"""The decoded Yjs document of one collaborative field: the only home of pycrdt.

pycrdt is imported when the first such field is touched. Its ways are not ours, and end here:

- It panics, by an exception that is no ``Exception`` (``pyo3_runtime.PanicException``, which no
  module exports), and after one the document must not be used: both become ``NativeFault``.
- It counts positions in UTF-8 bytes, an embed as one; inside a character it writes nonsense. It
  panics on ranges beyond the end. So steps come from ``crdtstore.model.edits``, which checks them.
- It makes floats of integers. Whole numbers are read as integers, as JSON has it.
- A failed transaction is not taken back. Whoever meets an error drops the object.

Bytes from outside have passed ``fit``, and come from our own storage or from a scanned frame.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from crdtstore.errors import Refused
from crdtstore.model.update_contents import TEXT
from crdtstore.model.updates import EMPTY_UPDATE

Run: TypeAlias = tuple[Any, dict[str, Any] | None]
"""A text or an embed, with its formatting."""


class Step(NamedTuple):
    """One change of a document, in the units of pycrdt: insert, embed, delete or format.

    What is inserted with no map of attributes inherits those of what stands before it.
    """

    action: str
    at: int
    content: Any
    attributes: dict[str, Any] | None = None


class NativeFault(Refused):
    """The native code of pycrdt gave up on an edit; nothing was changed."""

    code = "native-fault"


class CollaborationMissing(Refused):
    """Fields of kind text and list cannot be read or edited here: a library is not installed."""

    code = "collaboration-missing"


def is_panic(error: BaseException) -> bool:
    """Say whether an exception is a panic of native code, which derives from no Exception."""
    return type(error).__name__ == "PanicException"


def load_library() -> Any:
    """Return the library pycrdt; raises CollaborationMissing."""
    try:
        import pycrdt
    except ImportError:
        raise CollaborationMissing(
            "fields of kind text and list need the library pycrdt: "
            "pip install crdtstore[collaboration]"
        ) from None
    return pycrdt


@contextmanager
def _native() -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError, TypeError) as error:
        raise NativeFault(f"pycrdt refused what it was given: {error}") from error
    except BaseException as error:
        if is_panic(error):
            raise NativeFault(f"pycrdt panicked: {error}") from error
        raise


class Shared:
    """A decoded document of kind "text" or "list", in which edits are made as one client."""

    __slots__ = ("_doc", "_kind", "_root", "client")

    def __init__(self, kind: str, client: int) -> None:
        pycrdt = load_library()
        self.client = client
        self._kind = kind
        self._doc = pycrdt.Doc(client_id=client)
        self._root = self._doc.get(kind, type=pycrdt.Text if kind == TEXT else pycrdt.Array)

    def apply(self, update: bytes) -> None:
        """Join an update that fits; raises NativeFault."""
        with _native():
            self._doc.apply_update(update)

    def apply_told(self, update: bytes) -> list[dict[str, Any]]:
        """Join an update of a text that fits; return what it changes, as a delta in UTF-8 bytes.

        Raises NativeFault.
        """
        told: list[dict[str, Any]] = []
        with _native():
            subscription = self._root.observe(lambda event: told.extend(_plain(event.delta)))
            try:
                self._doc.apply_update(update)
            finally:
                self._root.unobserve(subscription)
        return told

    def encode(self) -> bytes:
        """Return the whole state as one update; raises NativeFault."""
        with _native():
            return bytes(self._doc.get_update())

    def missing(self, state_vector: bytes) -> bytes:
        """Return what a peer with a (checked) state vector lacks; raises NativeFault."""
        with _native():
            return bytes(self._doc.get_update(state_vector))

    def state_vector(self) -> bytes:
        """Return the state vector; raises NativeFault."""
        with _native():
            return bytes(self._doc.get_state())

    def edit(self, steps: Sequence[Step]) -> bytes:
        """Make steps in one transaction, and return its update; raises NativeFault."""
        change = self._edit_text if self._kind == TEXT else self._edit_list
        with self._observed() as updates:
            for step in steps:
                change(step)
        return _only(updates)

    def join(self, update: bytes) -> bytes:
        """Join an update that fits, and return what of it was news; raises NativeFault."""
        with self._observed() as updates:
            self._doc.apply_update(update)
        return _only(updates)

    @contextmanager
    def _observed(self) -> Iterator[list[bytes]]:
        """Make one transaction, and give its update into a list."""
        updates: list[bytes] = []
        with _native():
            subscription = self._doc.observe(lambda event: updates.append(bytes(event.update)))
            try:
                with self._doc.transaction():
                    yield updates
            finally:
                self._doc.unobserve(subscription)

    def _edit_text(self, step: Step) -> None:
        action, at, content, attributes = step
        if action == "insert":
            self._root.insert(at, content, attributes)
        elif action == "embed":
            self._root.insert_embed(at, content, attributes)
        elif action == "delete":
            del self._root[at : at + content]
        else:
            self._root.format(at, at + content, attributes)

    def _edit_list(self, step: Step) -> None:
        if step.action == "insert":
            self._root[step.at : step.at] = step.content
        else:
            del self._root[step.at : step.at + step.content]

    def runs(self) -> list[Run]:
        """Return the texts and embeds of a text, with their formatting; raises NativeFault."""
        with _native():
            return [(_plain(run), _plain(attributes)) for run, attributes in self._root.diff()]

    def items(self) -> list[Any]:
        """Return the items of a list; raises NativeFault."""
        with _native():
            return [_plain(item) for item in self._root.to_py() or ()]

    def text(self) -> str:
        """Return the characters of a text, without formatting and embeds; raises NativeFault."""
        with _native():
            return str(self._root)

    @property
    def length(self) -> int:
        """The length in units of pycrdt: of a text UTF-8 bytes and embeds, of a list items."""
        with _native():
            return len(self._root)


def _only(updates: list[bytes]) -> bytes:
    assert len(updates) < 2, "a transaction makes one update"
    return updates[0] if updates else EMPTY_UPDATE


def _plain(value: Any) -> Any:
    """Return a value as it was written: whole numbers are integers, bytes are bytes.

    Native code keeps maps in an order by chance; here they are in that of their keys.
    """
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
    if type(value) is bytearray:
        return bytes(value)
    if type(value) is list:
        return [_plain(item) for item in value]
    if type(value) is dict:
        return {name: _plain(value[name]) for name in sorted(value)}
    return value
