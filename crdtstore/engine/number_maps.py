"""Packing: maps with number keys as storage keeps them."""

from collections.abc import Callable, Mapping
from typing import Any

import msgpack

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


def pack_numbers(mapping: Mapping[int, Any]) -> bytes:
    """Pack a map with integer keys, in key order."""
    return _pack(sorted(mapping.items()))


def unpack_numbers(packed: bytes) -> dict[int, Any]:
    """Unpack what ``pack_numbers`` packed, from our own storage."""
    return dict(msgpack.unpackb(packed, use_list=False, strict_map_key=False))
