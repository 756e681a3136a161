"""The parser of LMDB meta pages: agrees with LMDB, and refuses damage."""

import random
from pathlib import Path

import lmdb
import pytest

from crdtstore.errors import StorageCorrupt
from crdtstore.storage.lmdb_file import inspect_lmdb_file

MAGIC_AT = 16
VERSION_AT = 20
PAGE_BYTES_AT = 40
FREE_ROOT_AT = 80
LAST_PAGE_AT = 136


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give an LMDB file with a few hundred pages."""
    with lmdb.open(str(tmp_path / "db"), map_size=2**24, max_dbs=1) as environment:
        table = environment.open_db(b"journal")
        for number in range(50):
            with environment.begin(write=True) as transaction:
                transaction.put(b"%d" % number, bytes(20_000), db=table)
    return tmp_path / "db" / "data.mdb"


def overwrite(path: Path, offset: int, patch: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(patch)


def test_it_reads_what_lmdb_reads(data: Path) -> None:
    with lmdb.open(str(data.parent), readonly=True) as environment:
        info, stat = environment.info(), environment.stat()
    found = inspect_lmdb_file(data)
    assert found.page_bytes == stat["psize"]
    assert found.last_page == info["last_pgno"]
    assert found.transaction == info["last_txnid"]
    assert found.data_bytes == (info["last_pgno"] + 1) * stat["psize"]
    assert found.last_page > 200


@pytest.mark.parametrize("missing_bytes", [1, 4096, 100_000])
def test_shorter_than_its_pages(data: Path, missing_bytes: int) -> None:
    size_bytes = inspect_lmdb_file(data).data_bytes
    with data.open("r+b") as file:
        file.truncate(size_bytes - missing_bytes)
    with pytest.raises(StorageCorrupt, match="cut short"):
        inspect_lmdb_file(data)


@pytest.mark.parametrize("size_bytes", [0, 1, 16, 151, 152, 4095, 4096, 4200])
def test_shorter_than_its_meta_pages(data: Path, size_bytes: int) -> None:
    with data.open("r+b") as file:
        file.truncate(size_bytes)
    with pytest.raises(StorageCorrupt, match="cut short"):
        inspect_lmdb_file(data)


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize(
    ("offset", "patch"),
    [
        (0, b"\x07"),
        (10, b"\x00"),
        (MAGIC_AT, b"\xdf"),
        (VERSION_AT, b"\x02"),
        (PAGE_BYTES_AT, b"\x00\x00\x00\x00"),
        (PAGE_BYTES_AT, b"\x01\x10\x00\x00"),
        (FREE_ROOT_AT, b"\xff\xff\xff\xff\x00\x00\x00\x00"),
        (LAST_PAGE_AT, bytes(8)),
    ],
)
def test_damaged_meta_page(data: Path, page: int, offset: int, patch: bytes) -> None:
    overwrite(data, page * inspect_lmdb_file(data).page_bytes + offset, patch)
    with pytest.raises(StorageCorrupt, match=r"damaged|version"):
        inspect_lmdb_file(data)


def test_meta_pages_that_disagree_on_the_page_size(data: Path) -> None:
    overwrite(data, 4096 + PAGE_BYTES_AT, b"\x00\x20")
    with pytest.raises(StorageCorrupt, match="disagree"):
        inspect_lmdb_file(data)


def test_random_bytes(tmp_path: Path) -> None:
    path = tmp_path / "data.mdb"
    for seed in range(20):
        path.write_bytes(random.Random(seed).randbytes(50_000))
        with pytest.raises(StorageCorrupt, match="damaged"):
            inspect_lmdb_file(path)
