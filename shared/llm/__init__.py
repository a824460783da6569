"""Language models behind one port: what a room calls, and what a test of a room needs to know."""

from shared.llm.models_file import ModelsConfig, read_models_file
from shared.llm.opening import open_models
from shared.llm.port import BudgetSpent, Call, InvalidReply, LanguageModels, Part, Reply
from shared.llm.roles import Role

__all__ = [
    "BudgetSpent",
    "Call",
    "InvalidReply",
    "LanguageModels",
    "ModelsConfig",
    "Part",
    "Reply",
    "Role",
    "open_models",
    "read_models_file",
]
