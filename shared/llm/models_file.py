"""The models file: which endpoint and model plays which role. TOML, named by `SPIRAL_MODELS_FILE`.

    [endpoints.NAME]   url, api_key_file, timeout_s, max_in_flight, supports_json_schema, output_limit_field
    [models.NAME]      endpoint, model, prices, max_output_tokens, input_tokens_per_image, unsupported
    [roles]            blueprint = "NAME", …, verify = ["NAME", "NAME"], default = "NAME"

`deploy/models/models.example.toml` shows one with comments. What is wrong is told with file, table and key, and what to do.
"""

import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from shared.errors import BadConfiguration
from shared.llm.roles import CHATTING, Role

_FILLED_BY_DEFAULT = tuple(role for role in CHATTING if role is not Role.VERIFY)
_DEFAULT = "default"
_PICO_PER_MICRO = 1_000_000

Price = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=14, decimal_places=6)]
UnsupportedField = Literal["temperature", "seed", "response_format"]


class Endpoint(BaseModel):
    """An OpenAI-compatible server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """The base of its routes, such as `http://vllm:8000/v1`."""
    api_key_file: Path | None = None
    """A file that holds the key and nothing else; relative to the models file."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long one exchange may take, from the first byte sent to the last one read."""
    max_in_flight: Annotated[int, Field(ge=1, le=4096)] = 64
    """Requests at a time from one process; fewer while the endpoint is overloaded."""
    supports_json_schema: bool = True
    """Whether it takes a JSON schema as the response format; otherwise the schema stands in the prompt."""
    output_limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """What it calls the limit of a reply's length."""

    @field_validator("url")
    @classmethod
    def _is_base(cls, value: str) -> str:
        parts = urlsplit(value)
        is_plain = not (parts.username or parts.query or parts.fragment)
        # A port that is none raises here.
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain or parts.port == 0:
            raise ValueError("must look like https://host/v1, without a user, a password or a query: the key belongs into api_key_file")
        return value.rstrip("/")


class Model(BaseModel):
    """A model that an endpoint serves, with what it costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    model: Annotated[str, Field(min_length=1, max_length=200)]
    """The name sent."""
    usd_per_million_input_tokens: Price = Decimal(0)
    usd_per_million_output_tokens: Price = Decimal(0)
    usd_per_call: Price = Decimal(0)
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """The longest reply, unless a call asks for another limit."""
    input_tokens_per_image: Annotated[int, Field(ge=0, le=1_000_000)] = 1500
    """The most that one image counts for; budgets are reserved by it."""
    unsupported: tuple[UnsupportedField, ...] = ()
    """Fields of a request that the model refuses, so they are left out."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that plays a role, with its endpoint; prices in picodollars (1e-12 USD), so that sums are exact."""

    name: str
    """Its table in the models file."""
    endpoint_name: str
    model: str
    """The name sent."""
    max_output_tokens: int
    input_tokens_per_image: int
    pico_usd_per_input_token: int
    pico_usd_per_output_token: int
    pico_usd_per_call: int
    unsupported: frozenset[str]


@dataclass(frozen=True)
class ModelsConfig:
    """A models file that holds together."""

    path: Path
    endpoints: dict[str, Endpoint]
    roles: dict[Role, tuple[ModelChoice, ...]] = field(default_factory=dict)

    def models_for(self, role: Role) -> tuple[ModelChoice, ...]:
        """The models of a role; empty where none is configured."""
        return self.roles.get(role, ())


class _Roles(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    default: str | None = None
    blueprint: str | None = None
    select: str | None = None
    edit: str | None = None
    observe: str | None = None
    ask: str | None = None
    solve: str | None = None
    text_only: str | None = None
    categorize: str | None = None
    verify: tuple[str, ...] = ()
    embed: str | None = None
    edit_image: str | None = None

    def names(self, role: Role) -> tuple[str, ...]:
        """The tables of a role's models."""
        if role is Role.VERIFY:
            return self.verify
        named: str | None = getattr(self, role.value)
        if named is None and role in _FILLED_BY_DEFAULT:
            named = self.default
        return (named,) if named is not None else ()


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    models: dict[str, Model] = Field(default_factory=dict)
    roles: _Roles = _Roles()


def read_models_file(path: Path) -> ModelsConfig:
    """A models file, checked as a whole, key files included.

    Raises:
        BadConfiguration: with file, table, key and what to do.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise BadConfiguration(f"can't read the models file {path}: {error.strerror}; name another in SPIRAL_MODELS_FILE") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path} is not TOML: {error}") from error
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        lines = [f"  {_place(problem['loc'])}: {_fault(problem)}" for problem in error.errors(include_url=False, include_input=False)]
        raise BadConfiguration("\n".join([f"{path} is no models file:", *lines])) from None
    endpoints = {
        name: endpoint.model_copy(update={"api_key_file": path.parent / endpoint.api_key_file}) if endpoint.api_key_file else endpoint
        for name, endpoint in file.endpoints.items()
    }
    _check_references(path, file)
    _check_independence(path, file)
    for name, endpoint in endpoints.items():
        read_api_key(path, name, endpoint)
    roles = {role: tuple(_choice(name, file.models[name]) for name in file.roles.names(role)) for role in Role}
    return ModelsConfig(path, endpoints, {role: choices for role, choices in roles.items() if choices})


def read_api_key(path: Path, name: str, endpoint: Endpoint) -> str | None:
    """An endpoint's key; None where it wants none.

    Raises:
        BadConfiguration: the file can't be read, or holds something else than a key.
    """
    if endpoint.api_key_file is None:
        return None
    where = f"{path}: [endpoints.{name}] api_key_file: {endpoint.api_key_file}"
    try:
        key = endpoint.api_key_file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise BadConfiguration(f"{where} can't be read ({error.strerror}): name a file that holds the key and nothing else") from None
    except UnicodeDecodeError:
        key = ""
    if not key or not key.isprintable() or " " in key:
        raise BadConfiguration(f"{where} holds no key: write the key into it and nothing else")
    return key


def _place(location: tuple[int | str, ...]) -> str:
    """A problem's place in the words of the file: table, then key."""
    *table, key = (str(part) for part in location)
    return f"[{'.'.join(table)}] {key}" if table else f"[{key}]"


def _fault(problem: ErrorDetails) -> str:
    if problem["type"] != "extra_forbidden":
        return problem["msg"]
    tables: dict[int | str, type[BaseModel]] = {"endpoints": Endpoint, "models": Model, "roles": _Roles}
    known = tables[problem["loc"][0]] if len(problem["loc"]) > 1 else _File
    return f"there is no such key; there are {', '.join(known.model_fields)}"


def _check_references(path: Path, file: _File) -> None:
    for name, model in file.models.items():
        if model.endpoint not in file.endpoints:
            raise BadConfiguration(f"{path}: [models.{name}] endpoint: there is no [endpoints.{model.endpoint}]; {_known(file.endpoints)}")
    for key in (_DEFAULT, *Role):
        value = getattr(file.roles, key)
        for name in value if isinstance(value, tuple) else (value,):
            if name is not None and name not in file.models:
                raise BadConfiguration(f"{path}: [roles] {key}: there is no [models.{name}]; {_known(file.models)}")


def _check_independence(path: Path, file: _File) -> None:
    """Whoever answers blindly must be another model than the one that asked, by the name sent."""
    asker, solver = (file.models[names[0]].model if (names := file.roles.names(role)) else None for role in (Role.ASK, Role.SOLVE))
    if asker is not None and asker == solver:
        raise BadConfiguration(f"{path}: [roles] solve: {solver!r} is also the model of ask; name another, or it would agree with itself")
    judges = [file.models[name].model for name in file.roles.verify]
    where = f"{path}: [roles] verify"
    for judge in judges:
        if judge == asker:
            raise BadConfiguration(f"{where}: {judge!r} is also the model of ask; name another, or it would agree with itself")
        if judges.count(judge) > 1:
            raise BadConfiguration(f"{where}: {judge!r} stands in it twice; name models that differ")


def _known(tables: dict[str, Endpoint] | dict[str, Model]) -> str:
    return f"there are {', '.join(sorted(tables))}" if tables else "there are none at all: add it"


def _choice(name: str, model: Model) -> ModelChoice:
    return ModelChoice(
        name=name,
        endpoint_name=model.endpoint,
        model=model.model,
        max_output_tokens=model.max_output_tokens,
        input_tokens_per_image=model.input_tokens_per_image,
        # A dollar for a million tokens is a million picodollars for one; prices have six decimals, so nothing is lost.
        pico_usd_per_input_token=int(model.usd_per_million_input_tokens * _PICO_PER_MICRO),
        pico_usd_per_output_token=int(model.usd_per_million_output_tokens * _PICO_PER_MICRO),
        pico_usd_per_call=int(model.usd_per_call * _PICO_PER_MICRO * _PICO_PER_MICRO),
        unsupported=frozenset(model.unsupported),
    )
