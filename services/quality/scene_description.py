"""The scene description that a drawing generator attaches to each candidate, parsed: objects with attributes, and a typed query.

`{"schema": "spiral.scene/1", "category": ..., "template": ..., "objects": [{"id": ..., attribute: value}], "query": {"op": ...}}`
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from shared.domain import ImageCategory

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
Where = dict[str, Scalar]
Name = Annotated[str, Field(min_length=1)]

MAX_CHARS = 200_000
MAX_STEPS = 1000


class SceneUnreadable(Exception):
    """No scene description, or a malformed one; the text says where."""


class _Strict(BaseModel):
    # A key that is not understood could change what is asked, so it makes the scene unreadable.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Count(_Strict):
    """How many objects match."""

    op: Literal["count"]
    where: Where


class Exists(_Strict):
    """Whether an object matches."""

    op: Literal["exists"]
    where: Where


class Attribute(_Strict):
    """An attribute of the one object that matches."""

    op: Literal["attribute"]
    where: Where
    name: Name


class Extreme(_Strict):
    """An attribute of the object with the largest or smallest value of another."""

    op: Literal["argmax", "argmin"]
    by: Name
    name: Name
    where: Where = {}


class Aggregate(_Strict):
    """A number over one attribute of the objects that match."""

    op: Literal["sum", "difference", "maximum", "minimum"]
    of: Name
    where: Where = {}


class Names(_Strict):
    """What a comparison's outcomes are called."""

    left: str = "left"
    right: str = "right"
    equal: str = "equal"


class Compare(_Strict):
    """Which of two objects has more of an attribute."""

    op: Literal["compare"]
    left: Where
    right: Where
    by: Name
    names: Names = Names()


class Relation(_Strict):
    """On which side of one object another lies; x grows to the right and y downwards."""

    op: Literal["relation"]
    of: Where
    to: Where


class Evaluate(_Strict):
    """The value of an arithmetic expression."""

    op: Literal["evaluate"]
    expression: Name


class Follow(_Strict):
    """An attribute of the object that is reached by following an edge a number of times."""

    op: Literal["follow"]
    start: Scalar
    steps: Annotated[int, Field(ge=0, le=MAX_STEPS, strict=True)]
    edge: Name = "next"
    name: Name


class Nth(_Strict):
    """An attribute of the n-th object, from 0, in ascending order of another."""

    op: Literal["nth"]
    order_by: Name
    index: Annotated[int, Field(ge=0, strict=True)]
    name: Name
    where: Where = {}


Query = Annotated[
    Count | Exists | Attribute | Extreme | Aggregate | Compare | Relation | Evaluate | Follow | Nth, Field(discriminator="op")
]


class SceneDescription(BaseModel):
    """What a drawn image shows, and what is asked about it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    format: Literal["spiral.scene/1"] = Field(alias="schema")
    category: ImageCategory
    template: str = ""
    objects: tuple[dict[str, Scalar | None], ...]
    query: Query


def parse_scene(text: str) -> SceneDescription:
    """A scene description from JSON.

    Raises:
        SceneUnreadable: there is none, or it breaks the format.
    """
    if not text.strip():
        raise SceneUnreadable("no scene description is attached")
    if len(text) > MAX_CHARS:
        raise SceneUnreadable(f"the scene description has {len(text):,} characters, more than {MAX_CHARS:,}")
    try:
        return SceneDescription.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise SceneUnreadable(f"scene description: {where + ': ' if where else ''}{problem['msg']}") from error
