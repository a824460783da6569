"""A language-model server of the test's own: OpenAI-compatible, over real HTTP, with answers and faults as a script says."""

from tests.scripted_llm.faults import Fault
from tests.scripted_llm.models_toml import models_toml
from tests.scripted_llm.requests import ChatRequest, EditRequest, EmbeddingRequest
from tests.scripted_llm.server import ScriptedLlm

__all__ = ["ChatRequest", "EditRequest", "EmbeddingRequest", "Fault", "ScriptedLlm", "models_toml"]
