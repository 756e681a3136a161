"""The worker: a child process in which updates from outside meet native code first.

It is run as a program, and imports nothing of this package. Each request names a text, brings what
the worker does not have of it yet, and an update to be tried; the worker joins it, reads and
encodes everything, and answers. Whatever goes wrong ends the process: a crash, a panic, too much
memory. A hang ends it too, by the hand of its parent: see ``crdtstore.collaboration.trials``.

    ready     one byte, before all answers
    request   [number, text, kind, whether to begin anew, known parts, update]
    answer    [number, refusal or ""]

Requests and answers are msgpack with the length before it, 4 bytes.
"""

import os
import resource
import struct
import sys
from collections import OrderedDict
from typing import Any, BinaryIO

_LENGTH = struct.Struct(">I")


def main(arguments: list[str]) -> None:
    """Answer requests until the parent goes."""
    memory_bytes, texts_max = (int(argument) for argument in arguments)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import msgpack
    import pycrdt  # noqa: F401 - what is slow comes before the first trial, whose time is bounded

    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    answers.write(b"\1")
    answers.flush()
    texts: OrderedDict[str, tuple[Any, Any]] = OrderedDict()
    while (packed := _read(requests)) is not None:
        number, name, kind, is_new, known, update = msgpack.unpackb(packed)
        if is_new or name not in texts:
            texts[name] = _document(kind)
        texts.move_to_end(name)
        while len(texts) > texts_max:
            texts.popitem(last=False)
        refusal = _try(*texts[name], known, update)
        if refusal:
            texts.pop(name)
        answer = msgpack.packb([number, refusal])
        answers.write(_LENGTH.pack(len(answer)) + answer)
        answers.flush()


def _document(kind: str) -> tuple[Any, Any]:
    import pycrdt

    document: Any = pycrdt.Doc(client_id=1)
    return document, document.get(kind, type=pycrdt.Text if kind == "text" else pycrdt.Array)


def _try(document: Any, root: Any, known: list[bytes], update: bytes) -> str:
    """Join an update and read all; return why it is refused, "" if it is not."""
    try:
        for part in known:
            document.apply_update(part)
        document.apply_update(update)
        if type(root).__name__ == "Text":
            root.diff()
            str(root)
        else:
            root.to_py()
        document.get_update()
    except (ValueError, RuntimeError, TypeError) as error:
        return f"pycrdt refuses it: {error}"[:200]
    return ""


def _read(requests: BinaryIO) -> bytes | None:
    header = requests.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(header)
    packed = requests.read(size)
    return packed if len(packed) == size else None


if __name__ == "__main__":
    main(sys.argv[1:])
