"""The policy in this process: transformers' own `generate`, in micro-batches, on one worker thread.

torch holds the worker thread, never the event loop. The thread also orders requests: a seed set for one micro-batch cannot reach another.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from PIL import Image
from transformers import GenerationConfig

from services.evaluator.images import UnreadableImage, decode_image
from services.evaluator.policy_model import Completions, Decoding, Prompt
from shared.checkpoint import load_policy
from shared.errors import Retryable
from shared.prompt import conversation


@dataclass(frozen=True, slots=True)
class _Row:
    index: int
    image: Image.Image
    text: str


class TransformersModel:
    """`PolicyModel` over checkpoints in this process. Opens a thread on entry and frees it, and the models, on exit."""

    def __init__(self, *, dtype: str, device: str, num_threads: int, max_loaded: int, max_image_pixels: int) -> None:
        """Takes where and how models run: `auto` is CUDA where torch sees it, `num_threads` 0 is torch's own choice."""
        self._device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self._dtype = "float32" if dtype == "auto" and self._device == "cpu" else dtype
        self._num_threads = num_threads
        self._max_loaded = max_loaded
        self._max_image_pixels = max_image_pixels
        self._loaded: OrderedDict[Path, tuple[Any, Any]] = OrderedDict()
        self._worker: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> "TransformersModel":
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="policy")
        if self._num_threads:
            # The setting is per thread in some OpenMP builds: set it where the work is done.
            await asyncio.get_running_loop().run_in_executor(self._worker, torch.set_num_threads, self._num_threads)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._worker is not None:
            self._worker.shutdown(wait=True, cancel_futures=True)
            self._worker = None
        self._loaded.clear()

    async def generate(self, checkpoint: Path, prompts: Sequence[Prompt], decoding: Decoding, *, batch_size: int) -> list[Completions]:
        """See `PolicyModel.generate`."""
        if self._worker is None:
            raise RuntimeError("the model is used outside its `async with`")
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._generate, checkpoint, prompts, decoding, batch_size)

    def _generate(self, checkpoint: Path, prompts: Sequence[Prompt], decoding: Decoding, batch_size: int) -> list[Completions]:
        try:
            model, processor = self._model(checkpoint)
            return self._answers(model, processor, prompts, decoding, batch_size)
        except torch.OutOfMemoryError as error:
            raise Retryable(f"no memory for a batch of {batch_size} answers: lower the run's batch size ({error})") from error

    def _model(self, checkpoint: Path) -> tuple[Any, Any]:
        if checkpoint not in self._loaded:
            while len(self._loaded) >= self._max_loaded:
                self._loaded.popitem(last=False)
            self._loaded[checkpoint] = load_policy(checkpoint, dtype=self._dtype, device=self._device)
        self._loaded.move_to_end(checkpoint)
        return self._loaded[checkpoint]

    def _answers(self, model: Any, processor: Any, prompts: Sequence[Prompt], decoding: Decoding, batch_size: int) -> list[Completions]:
        answers: list[Completions] = [Completions(())] * len(prompts)
        rows: list[_Row] = []
        for index, prompt in enumerate(prompts):
            try:
                rows.append(_Row(index, decode_image(prompt.image, max_pixels=self._max_image_pixels), prompt.text))
            except UnreadableImage as error:
                answers[index] = Completions((), str(error))
        # Rows of like size share a micro-batch, so that little of it is padding.
        rows.sort(key=lambda row: (row.image.width * row.image.height, len(row.text), row.index))
        for ordinal, batch in enumerate(_batches(rows, max(1, batch_size // max(1, decoding.num_samples)))):
            for row, texts in zip(batch, self._batch(model, processor, batch, decoding, ordinal), strict=True):
                answers[row.index] = Completions(texts)
        return answers

    @torch.inference_mode()
    def _batch(self, model: Any, processor: Any, batch: Sequence[_Row], decoding: Decoding, ordinal: int) -> list[tuple[str, ...]]:
        texts = [processor.apply_chat_template(conversation(row.text), add_generation_prompt=True, tokenize=False) for row in batch]
        inputs = processor(text=texts, images=[[row.image] for row in batch], padding=True, return_tensors="pt").to(self._device)
        if not decoding.is_greedy:
            torch.manual_seed(_seed(decoding.seed, ordinal))
        sequences = model.generate(**inputs, generation_config=_generation_config(model, decoding))
        completions = processor.tokenizer.batch_decode(sequences[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        per_prompt = max(1, decoding.num_samples)
        return [tuple(text.strip() for text in completions[start : start + per_prompt]) for start in range(0, len(completions), per_prompt)]


def _batches(rows: Sequence[_Row], size: int) -> Iterator[Sequence[_Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _seed(seed: int, ordinal: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{ordinal}".encode()).digest()[:8], "big")


def _generation_config(model: Any, decoding: Decoding) -> Any:
    """Plain decoding: the checkpoint names its end tokens, and none of its own sampling habits (top-k, penalties) apply."""
    own = model.generation_config
    sampling = {} if decoding.is_greedy else {"temperature": decoding.temperature, "top_k": 0, "top_p": 1.0}
    return GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        eos_token_id=own.eos_token_id,
        pad_token_id=own.pad_token_id,
        do_sample=not decoding.is_greedy,
        num_return_sequences=max(1, decoding.num_samples),
        **sampling,
    )
