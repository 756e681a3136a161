"""Files of an export: Parquet and Arrow by pyarrow (extra ``analytics``), JSON lines by itself.

Rows are gathered into row groups of bounded size, so a file of any size takes bounded memory.
"""

import json
from collections.abc import Sequence
from typing import Any, BinaryIO, Final, Protocol

from crdtstore.errors import ConfigurationError
from crdtstore.export.columns import ID_COLUMN, VERSION_COLUMN, Column, row_of
from crdtstore.model.profile import Profile

FORMATS: Final = ("parquet", "arrow", "jsonl")
"""What an export may be written as."""


class RowWriter(Protocol):
    """Writes golden records to a file, a group of rows at a time."""

    def write(self, profiles: Sequence[Profile]) -> None:
        """Write a group of rows."""
        ...

    def close(self) -> None:
        """Write what ends the file, which stays open."""
        ...


class LineWriter:
    """Writes JSON lines: one object for each profile."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, profiles: Sequence[Profile]) -> None:
        """Write a line for each profile."""
        lines = [
            json.dumps(row_of(profile), ensure_ascii=False, separators=(",", ":"))
            for profile in profiles
        ]
        self._file.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        """Do nothing: JSON lines have no end."""


class TableWriter:
    """Writes a Parquet or an Arrow (IPC) file, with a column for each field."""

    def __init__(self, file: BinaryIO, form: str, columns: Sequence[Column]) -> None:
        arrow = _arrow()
        self._arrow = arrow
        self._columns = columns
        self._schema = _schema_of(arrow, columns)
        if form == "parquet":
            from pyarrow import parquet

            self._writer: Any = parquet.ParquetWriter(file, self._schema, compression="zstd")
        else:
            self._writer = arrow.ipc.new_file(file, self._schema)

    def write(self, profiles: Sequence[Profile]) -> None:
        """Write a row group, or a record batch."""
        ids = [profile.id for profile in profiles]
        versions = [profile.version for profile in profiles]
        values = [
            [column.value(profile.get(column.field)) for profile in profiles]
            for column in self._columns
        ]
        arrays = [
            self._arrow.array(cells, type=field.type)
            for cells, field in zip([ids, versions, *values], self._schema, strict=True)
        ]
        self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()


def check_format(form: str) -> None:
    """Check that this is a format that can be written here; raises ConfigurationError."""
    if form not in FORMATS:
        raise ConfigurationError(f"{form!r} is no format; there are {', '.join(FORMATS)}")
    if form != "jsonl":
        _arrow()


def _schema_of(arrow: Any, columns: Sequence[Column]) -> Any:
    scalars = {
        "bool": arrow.bool_(),
        "int64": arrow.int64(),
        "double": arrow.float64(),
        "string": arrow.string(),
        "binary": arrow.binary(),
        "timestamp": arrow.timestamp("us", tz="UTC"),
        "json": arrow.string(),
    }
    fields = [
        arrow.field(name, arrow.string(), nullable=False) for name in (ID_COLUMN, VERSION_COLUMN)
    ]
    for column in columns:
        is_list = column.type.startswith("list<")
        kind = arrow.list_(scalars[column.type[5:-1]]) if is_list else scalars[column.type]
        told = {"crdtstore.kind": column.kind or "register", "crdtstore.type": column.type}
        fields.append(arrow.field(column.name, kind, metadata=told))
    return arrow.schema(fields)


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ConfigurationError(
            "pyarrow is not installed; install the extra: pip install 'crdtstore[analytics]', or "
            "export as jsonl"
        ) from None
    return pyarrow
