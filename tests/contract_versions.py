"""Contracts of other versions: the released ones, and one of tomorrow that says two things more in every message."""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st
from spiral.v1 import attributor_pb2, evaluator_pb2, events_pb2, generator_pb2, planner_pb2, quality_pb2, run_pb2, trainer_pb2, types_pb2

PROTO = Path(__file__).parents[1] / "proto"
RELEASES = sorted((PROTO / "releases").glob("*.binpb"))
ADDED = ("added_text", "added_part")

_FILES = (types_pb2, events_pb2, attributor_pb2, evaluator_pb2, generator_pb2, run_pb2, planner_pb2, quality_pb2, trainer_pb2)
_NUMBERS = {
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
}


class Contract:
    """Message classes of a contract, apart from today's."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        self._pool = pool
        self.names = frozenset(message.name for file in files.file for message in file.message_type)

    def message(self, name: str) -> type[Message]:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"spiral.v1.{name}"))


def released(image: Path) -> Contract:
    return Contract(descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()))


def tomorrow() -> Contract:
    """Today's contract with a text and a message more in every message."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in _FILES:
        file = files.file.add()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            text, part = (message.field.add(name=name, number=900 + place) for place, name in enumerate(ADDED))
            text.label = part.label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
            text.type = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
            part.type, part.type_name = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE, ".spiral.v1.Added"
        if "spiral/v1/types.proto" not in (file.name, *file.dependency):
            file.dependency.append("spiral/v1/types.proto")
    added = files.file[0].message_type.add(name="Added")
    added.field.add(name="number", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_UINT64, label=1)
    return Contract(files)


@st.composite
def filled(draw: st.DrawFn, message_type: type[Message]) -> Message:
    """A message with every field that its contract asks for, and perhaps those that it leaves open."""
    message = message_type()
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            values = draw(st.lists(_values(field), max_size=2))
            getattr(message, field.name).extend(values)
        elif field.containing_oneof is None or draw(st.booleans()):
            value = draw(_values(field))
            if isinstance(value, Message):
                getattr(message, field.name).CopyFrom(value)
            else:
                setattr(message, field.name, value)
    return message


def _values(field: FieldDescriptor) -> st.SearchStrategy[object]:
    if field.message_type is not None:
        return filled(message_factory.GetMessageClass(field.message_type))
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values if value.number])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=4)
    return _NUMBERS.get(field.cpp_type, st.text(min_size=1, max_size=4))


def say_more(message: Message, text: str = "of tomorrow") -> Message:
    """Adds what only tomorrow's contract knows, in a message of it and in every part that it has."""
    message.added_text, message.added_part.number = text, 7  # type: ignore[attr-defined]
    for field, value in message.ListFields():
        if field.message_type is not None and field.name not in ADDED:
            for part in value if field.is_repeated else [value]:
                say_more(part, text)
    return message


def as_said(answer: Message, said: Message) -> Message:
    """The answer without the fields that it spells out and `said` left to their defaults."""
    for field, value in answer.ListFields():
        if field.has_presence and not said.HasField(field.name):
            answer.ClearField(field.name)
        elif field.message_type is not None:
            theirs = getattr(said, field.name)
            for part, other in zip(value, theirs, strict=True) if field.is_repeated else [(value, theirs)]:
                as_said(part, other)
    return answer


def without_added(message: Message, kept: frozenset[str]) -> Message:
    """The same message, its additions left only in parts of the types named in `kept`."""
    if message.DESCRIPTOR.name not in kept:
        for name in ADDED:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None and field.name not in ADDED:
            for part in value if field.is_repeated else [value]:
                without_added(part, kept)
    return message
