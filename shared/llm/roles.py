"""What language models are asked for; the operator names a model for each in the models file."""

from enum import StrEnum


class Role(StrEnum):
    """One kind of call. The generator's agents come first, then quality's judges, then the two endpoints that do not chat."""

    BLUEPRINT = "blueprint"
    SELECT = "select"
    EDIT = "edit"
    OBSERVE = "observe"
    ASK = "ask"
    SOLVE = "solve"
    TEXT_ONLY = "text_only"
    CATEGORIZE = "categorize"
    VERIFY = "verify"
    """Several models that answer blindly."""
    EMBED = "embed"
    EDIT_IMAGE = "edit_image"


CHATTING = tuple(role for role in Role if role not in (Role.EMBED, Role.EDIT_IMAGE))
"""The roles of chat models."""
