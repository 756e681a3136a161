"""Events as Parquet: page by page from the service, in the order of arrival."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from replicas.cdp.errors import ExportFailed

_MOMENT = pa.timestamp("ms", tz="UTC")
_COLUMNS = {
    "sequence": pa.uint64(),
    "kind": pa.dictionary(pa.int8(), pa.string()),
    "message_id": pa.string(),
    "profile_id": pa.string(),
    "name": pa.string(),
    "user_id": pa.string(),
    "anonymous_id": pa.string(),
    "group_id": pa.string(),
    "previous_id": pa.string(),
    "timestamp": _MOMENT,
    "received_at": _MOMENT,
    "write_key": pa.string(),
    "properties": pa.string(),
    "context": pa.string(),
}
_TAKEN_FROM = {"timestamp": "timestamp_ms", "received_at": "received_at_ms"}


def write_parquet(path: Path, pages: Iterator[list[dict[str, Any]]]) -> int:
    """Write pages of events to a file, properties and context as JSON text; return how many.

    The file has its name only when it is whole. Raises ExportFailed.
    """
    schema = pa.schema(list(_COLUMNS.items()))
    partial = path.with_name(f"{path.name}.partial")
    count = 0
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for page in pages:
                columns = [_column(name, page) for name in _COLUMNS]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
                count += len(page)
        partial.replace(path)
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else error
        raise ExportFailed(f"cannot write {path}: {said}") from None
    finally:
        partial.unlink(missing_ok=True)
    return count


def _column(name: str, page: list[dict[str, Any]]) -> Any:
    values = [event[_TAKEN_FROM.get(name, name)] for event in page]
    if name in ("properties", "context"):
        values = [msgspec.json.encode(value).decode() for value in values]
    return pa.array(values, _COLUMNS[name])
