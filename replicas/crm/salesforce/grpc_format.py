"""The messages of the Pub/Sub API, as far as they are used here, built when they are needed.

The numbers of fields and the names are those of the vendor's published interface.
"""

from functools import cache
from typing import Any, Final, NamedTuple

SERVICE: Final = "eventbus.v1.PubSub"
LATEST: Final = 0
CUSTOM: Final = 2

_TEXT: Final = "TYPE_STRING"
_BYTES: Final = "TYPE_BYTES"
_NUMBER: Final = "TYPE_INT32"
_FIELDS: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "ProducerEvent": (("id", 1, _TEXT), ("schema_id", 2, _TEXT), ("payload", 3, _BYTES)),
    "ConsumerEvent": (("event", 1, "ProducerEvent"), ("replay_id", 2, _BYTES)),
    "FetchRequest": (
        ("topic_name", 1, _TEXT), ("replay_preset", 2, "ReplayPreset"), ("replay_id", 3, _BYTES),
        ("num_requested", 4, _NUMBER),
    ),
    "FetchResponse": (
        ("events", 1, "ConsumerEvent"), ("latest_replay_id", 2, _BYTES), ("rpc_id", 3, _TEXT),
        ("pending_num_requested", 4, _NUMBER),
    ),
    "SchemaRequest": (("schema_id", 1, _TEXT),),
    "SchemaInfo": (("schema_json", 1, _TEXT), ("schema_id", 2, _TEXT), ("rpc_id", 3, _TEXT)),
}  # fmt: skip


class Messages(NamedTuple):
    """The classes of the messages."""

    FetchRequest: Any
    FetchResponse: Any
    SchemaRequest: Any
    SchemaInfo: Any


@cache
def messages() -> Messages:
    """Return the classes of the messages."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="crdtstore/pubsub_api.proto", package="eventbus.v1", syntax="proto3"
    )
    preset = file.enum_type.add(name="ReplayPreset")
    for number, name in enumerate(("LATEST", "EARLIEST", "CUSTOM")):
        preset.value.add(name=name, number=number)
    for message_name, fields in _FIELDS.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind in fields:
            field = message.field.add(name=name, number=number, label=types.LABEL_OPTIONAL)
            if kind.startswith("TYPE_"):
                field.type = getattr(types, kind)
            else:
                is_enum = kind == "ReplayPreset"
                field.type = types.TYPE_ENUM if is_enum else types.TYPE_MESSAGE
                field.type_name = f".eventbus.v1.{kind}"
            if name == "events":
                field.label = types.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return Messages(
        *(
            message_factory.GetMessageClass(pool.FindMessageTypeByName(f"eventbus.v1.{name}"))
            for name in Messages._fields
        )
    )
