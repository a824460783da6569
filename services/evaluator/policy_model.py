"""The port behind which a policy answers questions: the in-process transformers model is one adapter, an inference server another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Prompt:
    """An encoded image (PNG, JPEG or WEBP) and the rendered question about it."""

    image: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are decoded: `num_samples` at a temperature, or one greedy answer where `num_samples` is 0."""

    num_samples: int
    temperature: float
    max_new_tokens: int
    seed: int

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken at each step."""
        return self.num_samples == 0


def greedy(max_new_tokens: int) -> Decoding:
    """One greedy answer."""
    return Decoding(num_samples=0, temperature=1.0, max_new_tokens=max_new_tokens, seed=0)


@dataclass(frozen=True, slots=True)
class Completions:
    """A policy's answers to one prompt; where it could not be asked there is none, and `failure` says why."""

    texts: tuple[str, ...]
    failure: str = ""


class PolicyModel(Protocol):
    """Answers prompts with a checkpoint."""

    async def generate(self, checkpoint: Path, prompts: Sequence[Prompt], decoding: Decoding, *, batch_size: int) -> list[Completions]:
        """One `Completions` for each prompt, in order.

        The same checkpoint, prompts, decoding and batch size give the same answers, whatever else runs.

        Args:
            checkpoint: a directory in Hugging Face layout; a few are kept loaded.
            prompts: any number; an unreadable image is that prompt's failure, not an error.
            decoding: greedy or sampled.
            batch_size: sequences at a time, at most.

        Raises:
            Rejected: the checkpoint can't be loaded.
            Retryable: there is no memory for it now.
        """
