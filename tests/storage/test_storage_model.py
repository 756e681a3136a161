"""The storages on disk behave as the one in memory: random batches, reads, stops and crashes."""

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crdtstore import limits
from crdtstore.storage.contract import Batch, MapFull
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.memory_storage import MemoryStorage

MAP_BYTES = 128 * 1024
LOG_BYTES = 16 * 1024
LOGGED_BYTES_MAX = 4 * 1024

sizes_bytes = st.sampled_from([0, 1, 7, 300, 1_900, 2_100, 5_000, 20_000])
keys = st.sampled_from([b"\x00", b"a", b"a\x00", b"ab", b"b", b"\xff" * 511]) | st.binary(
    min_size=1, max_size=3
)
names = st.sampled_from(["origin", "cursor/", "cursor/a", "cursor/b", "cursos", "é"])
changes = st.lists(st.tuples(keys, st.none() | sizes_bytes), max_size=8)


class StorageMachine(RuleBasedStateMachine):
    """Both storages take the same commits; every read must answer the same."""

    kind: ClassVar[type[LmdbStorage] | type[LoggedStorage]] = LmdbStorage

    @initialize()
    def open_both(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="crdtstore-test-"))
        self.last = 0
        self.serial = 0
        self.model = MemoryStorage()
        self.real = self.opened()

    def opened(self) -> LmdbStorage | LoggedStorage:
        """Open the directory, which is moved to a new place for every crash."""
        return self.kind.open(self.directory / "data", map_bytes_initial=MAP_BYTES)

    @rule(
        steps=st.lists(st.tuples(st.integers(1, 300), sizes_bytes), max_size=6),
        documents=changes,
        notes=st.lists(st.tuples(st.integers(0, 900), sizes_bytes), max_size=3),
        meta=st.dictionaries(names, st.none() | sizes_bytes, max_size=4),
        index=st.lists(st.tuples(keys, st.booleans()), max_size=6),
        trim=st.none() | st.integers(-5, 1_000),
    )
    def commit(
        self,
        steps: list[tuple[int, int]],
        documents: list[tuple[bytes, int | None]],
        notes: list[tuple[int, int]],
        meta: dict[str, int | None],
        index: list[tuple[bytes, bool]],
        trim: int | None,
    ) -> None:
        batch = Batch()
        for step, size_bytes in steps:
            self.last += step
            batch.journal.append((self.last, self.value(size_bytes)))
        batch.documents = [(key, self.change(size_bytes)) for key, size_bytes in documents]
        batch.waypoints = [(max(0, self.last - back), self.value(size)) for back, size in notes]
        batch.meta = {name: self.change(size_bytes) for name, size_bytes in meta.items()}
        batch.index = index
        batch.trim_before = 0 if trim is None else max(0, self.last - trim)
        self.model.commit(batch)
        while True:
            try:
                self.real.commit(batch)
                break
            except MapFull:
                assert self.real.grow()

    @rule()
    def reopen(self) -> None:
        self.real.close()
        self.real = self.opened()
        self.model = self.model.reopen()

    @rule()
    def crash(self) -> None:
        """Go on with the files as they are at this moment, with nothing closed."""
        before = self.directory
        self.directory = Path(tempfile.mkdtemp(prefix="crdtstore-test-"))
        shutil.copytree(before / "data", self.directory / "data")
        self.real.close()
        shutil.rmtree(before)
        self.real = self.opened()
        self.model = self.model.reopen()

    @rule(after=keys | st.just(b""), limit=st.integers(1, 9), bytes_max=st.integers(1, 30_000))
    def read_documents(self, after: bytes, limit: int, bytes_max: int) -> None:
        expected = self.model.documents(after, limit=limit, bytes_max=bytes_max)
        assert self.real.documents(after, limit=limit, bytes_max=bytes_max) == expected

    @rule(back=st.integers(-2, 900), limit=st.integers(1, 9), bytes_max=st.integers(1, 30_000))
    def read_journal(self, back: int, limit: int, bytes_max: int) -> None:
        after = max(0, self.last - back)
        expected = self.model.journal(after, limit=limit, bytes_max=bytes_max)
        assert self.real.journal(after, limit=limit, bytes_max=bytes_max) == expected
        headers = self.model.journal_headers(after, limit=limit, header_bytes=9)
        assert self.real.journal_headers(after, limit=limit, header_bytes=9) == headers

    @rule(prefix=keys | st.just(b""), after=keys | st.just(b""), limit=st.integers(1, 9))
    def read_index(self, prefix: bytes, after: bytes, limit: int) -> None:
        expected = self.model.index(prefix, after, limit=limit)
        assert self.real.index(prefix, after, limit=limit) == expected

    @rule(prefix=st.sampled_from(["", "c", "cursor/", "cursor/a", "é", "zz"]))
    def read_metas(self, prefix: str) -> None:
        expected = list(self.model.metas(prefix).items())
        assert list(self.real.metas(prefix).items()) == expected

    @rule(key=keys, name=names)
    def read_one(self, key: bytes, name: str) -> None:
        assert self.real.document(key) == self.model.document(key)
        assert self.real.meta(name) == self.model.meta(name)

    @invariant()
    def bounds_and_waypoints_agree(self) -> None:
        assert self.real.journal_bounds() == self.model.journal_bounds()
        assert self.real.waypoints() == self.model.waypoints()

    def change(self, size_bytes: int | None) -> bytes | None:
        return None if size_bytes is None else self.value(size_bytes)

    def value(self, size_bytes: int) -> bytes:
        """Return bytes that no other value of this size has."""
        self.serial += 1
        return (b"%d." % self.serial * size_bytes)[:size_bytes]

    def teardown(self) -> None:
        if hasattr(self, "real"):
            self.real.close()
            shutil.rmtree(self.directory)


class LoggedStorageMachine(StorageMachine):
    """The same with a log so short that it is full every few commits, and settling beside them."""

    kind = LoggedStorage

    @initialize()
    def open_both(self) -> None:
        self.before = limits.COMMIT_LOG_BYTES, limits.LOGGED_BATCH_BYTES_MAX
        set_limits(LOG_BYTES, LOGGED_BYTES_MAX)
        super().open_both()

    @rule(
        documents=changes,
        index=st.lists(st.tuples(keys, st.booleans()), max_size=6),
        trim=st.none() | st.integers(0, 1_000),
        beside=st.lists(st.tuples(st.integers(1, 300), sizes_bytes), max_size=4),
        crashes=st.booleans(),
    )
    def settle(
        self,
        documents: list[tuple[bytes, int | None]],
        index: list[tuple[bytes, bool]],
        trim: int | None,
        beside: list[tuple[int, int]],
        crashes: bool,
    ) -> None:
        """Settle a batch, with commits between its being sealed and its being settled."""
        assert isinstance(self.real, LoggedStorage)
        batch = Batch(documents=[(key, self.change(size)) for key, size in documents], index=index)
        batch.trim_before = 0 if trim is None else max(0, self.last - trim)
        self.real.seal(batch)
        for step, size in beside:
            self.commit([(step, size)], [], [(step, size)], {"origin": size}, [], None)
        if crashes:
            self.crash()
            return
        self.model.settle(batch)
        while True:
            try:
                self.real.settle(batch)
                break
            except MapFull:
                assert self.real.grow()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "before"):
            set_limits(*self.before)


def set_limits(log_bytes: int, logged_bytes_max: int) -> None:
    for name, value in (
        ("COMMIT_LOG_BYTES", log_bytes),
        ("LOGGED_BATCH_BYTES_MAX", logged_bytes_max),
    ):
        setattr(limits, name, value)


TestStorageMachine = StorageMachine.TestCase
TestLoggedStorageMachine = LoggedStorageMachine.TestCase
for case, examples in ((TestStorageMachine, 25), (TestLoggedStorageMachine, 60)):
    case.settings = settings(max_examples=examples, stateful_step_count=25, deadline=None)
