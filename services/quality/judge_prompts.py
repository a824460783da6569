"""The judges' instructions, one file a role in `prompts/`, and how a candidate's question is put to them."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from shared.llm.roles import Role
from shared.prompt import LETTERS
from shared.quoting import quoted


@cache
def instructions(role: Role) -> str:
    """The system prompt of a role."""
    return (files(__package__) / "prompts" / f"{role.value}.md").read_text(encoding="utf-8").strip()


def asked(question: str, choices: Sequence[str] = ()) -> str:
    """A question with its lettered choices, as data: both are a stranger's words."""
    options = [f"{letter}. {' '.join(choice.split())}" for letter, choice in zip(LETTERS, choices, strict=False)]
    return quoted("\n".join([question, *options]), source="question")
