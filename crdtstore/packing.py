"""Packing: msgpack from elsewhere, measured before it is believed.

msgpack makes room for as many items as an array claims to have before it has read one of them:
three bytes take 120 KB, and arrays inside arrays take it again at each level, so that 3 KB end up
at 80 MB. Bytes that do hold what they claim cost a bounded number of bytes each.
"""

import msgpack


def check_claims(packed: bytes) -> None:
    """Check that bytes hold one object with all the items that it claims; raises ValueError.

    Nothing is made of the items: it takes a twentieth of the time of unpacking them.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=len(packed))
    unpacker.feed(packed)
    try:
        unpacker.skip()
    except msgpack.OutOfData:
        raise ValueError("it ends before all that it claims to hold") from None
    except msgpack.UnpackException as error:
        raise ValueError(f"it is no msgpack: {type(error).__name__}") from None
    if unpacker.tell() != len(packed):
        raise ValueError(f"{len(packed) - unpacker.tell():,} bytes follow its end")
