"""What a run would ask language models, before it starts: the models file is read as the rooms read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from shared.llm import ModelsConfig, Role, read_models_file

VARIABLE = "SPIRAL_MODELS_FILE"
# The rooms read it themselves: an option that is seen would promise more than a check.
CheckedModels = Annotated[Path | None, typer.Option("--check-models", envvar=VARIABLE, hidden=True)]


@dataclass(frozen=True, slots=True)
class ModelsCheck:
    """A models file that is in order."""

    path: str
    roles: dict[str, tuple[str, ...]]
    """Role to the names of its models."""
    unpriced: tuple[str, ...]
    """Models that no price is named for: their calls count as free."""


def check_models(path: Path | None) -> ModelsCheck | None:
    """What a models file says; None where there is none.

    Raises:
        BadConfiguration: it can't be read, or says what can't be.
    """
    return told(read_models_file(path.expanduser())) if path is not None else None


def told(config: ModelsConfig) -> ModelsCheck:
    """What a models file says of roles and prices."""
    chosen = [choice for role in Role for choice in config.models_for(role)]
    free = {
        choice.model
        for choice in chosen
        if not (choice.pico_usd_per_input_token or choice.pico_usd_per_output_token or choice.pico_usd_per_call)
    }
    roles = {role.value: tuple(choice.model for choice in config.models_for(role)) for role in Role}
    return ModelsCheck(str(config.path), roles, tuple(sorted(free)))


def models_lines(check: ModelsCheck | None) -> Sequence[str]:
    """The same in words."""
    if check is None:
        return (f"no language models here: {VARIABLE} names no file, so generators that need some stay out",)
    models = dict.fromkeys(model for models in check.roles.values() for model in models)
    filled = "; ".join(f"{model} ({', '.join(role for role in check.roles if model in check.roles[role])})" for model in models)
    lines = [f"language models of {check.path}: {filled or 'none'}"]
    if without := [role for role, models in check.roles.items() if not models]:
        lines.append(f"no model for {', '.join(without)}")
    if check.unpriced:
        lines.append(f"no price is named for {', '.join(check.unpriced)}: such calls count as free, so only calls and tokens bound them")
    return lines
