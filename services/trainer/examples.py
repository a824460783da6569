"""Samples as the model sees them: the prompt of evaluation, and as target the answer with the end of its turn."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from services.trainer.job import SampleFile
from shared.answers import check_reference
from shared.errors import Rejected
from shared.prompt import conversation, render_question
from shared.tables import Sample, read_samples

_FORMATS = ("PNG", "JPEG", "WEBP")
_CACHE_BYTES = 1 << 30
_TOKEN_FIELDS = ("mm_token_type_ids", "token_type_ids")


def load_samples(files: Sequence[SampleFile]) -> list[Sample]:
    """All samples of some files, each with an image that opens.

    Raises:
        Rejected: names file, row and column of the first fault.
    """
    samples = []
    for file in files:
        rows = read_samples(file.path.read_bytes(), file.name)
        for number, sample in enumerate(rows):
            try:
                decode(sample.image)
            except Rejected as error:
                raise Rejected(f"{file.name}, row {number}, column 'images': {error}") from error
            wrong = check_reference(
                question_type=sample.cell.question_type, answer=sample.answer, choices=sample.choices, tolerance=sample.tolerance
            )
            if wrong:
                raise Rejected(f"{file.name}, row {number}, column 'answer': {wrong}")
        samples += rows
    return samples


def decode(image: bytes) -> Image.Image:
    """An encoded image as RGB pixels.

    Raises:
        Rejected: it does not open.
    """
    try:
        return Image.open(io.BytesIO(image), formats=_FORMATS).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise Rejected(f"the image does not decode ({error})") from error


def question_text(sample: Sample) -> str:
    """The text of a sample's prompt."""
    return render_question(sample.question, sample.cell.question_type, sample.choices)


@dataclass(frozen=True, slots=True)
class Example:
    """A processed sample: token ids of the prompt and of the target, and what else the model takes, as tensors."""

    prompt_ids: Any
    target_ids: Any
    fields: dict[str, Any]

    def num_bytes(self) -> int:
        """Memory that it takes."""
        return sum(tensor.nbytes for tensor in (self.prompt_ids, self.target_ids, *self.fields.values()))


class AnswerCollator:
    """Batches of samples with the loss on the answer only.

    A sample is processed when it is first asked for and kept, up to a gigabyte of them: the next passes over the data cost nothing.
    """

    def __init__(self, processor: Any, samples: Sequence[Sample]) -> None:
        self._processor = processor
        self._samples = samples
        self._cache: dict[int, Example] = {}
        self._room = _CACHE_BYTES

    def __call__(self, rows: Sequence[dict[str, int]]) -> dict[str, Any]:
        """The batch of the samples whose indices stand under "sample"; padded on the right."""
        import torch

        examples = [self._example(row["sample"]) for row in rows]
        width = max(len(example.prompt_ids) + len(example.target_ids) for example in examples)
        shape = (len(examples), width)
        batch = {
            "input_ids": torch.full(shape, self._processor.tokenizer.pad_token_id),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "labels": torch.full(shape, -100),
        }
        for name in examples[0].fields:
            if name in _TOKEN_FIELDS:
                batch[name] = torch.zeros(shape, dtype=torch.long)
            else:
                batch[name] = torch.cat([example.fields[name] for example in examples])
        for row, example in enumerate(examples):
            prompt, end = len(example.prompt_ids), len(example.prompt_ids) + len(example.target_ids)
            batch["input_ids"][row, :prompt] = example.prompt_ids
            batch["input_ids"][row, prompt:end] = example.target_ids
            batch["attention_mask"][row, :end] = 1
            batch["labels"][row, prompt:end] = example.target_ids
            for name in _TOKEN_FIELDS:
                if name in example.fields:
                    batch[name][row, :prompt] = example.fields[name]
        return batch

    def _example(self, index: int) -> Example:
        example = self._cache.get(index)
        if example is None:
            example = self._encode(self._samples[index])
            if example.num_bytes() <= self._room:
                self._cache[index] = example
                self._room -= example.num_bytes()
        return example

    def _encode(self, sample: Sample) -> Example:
        tokenizer = self._processor.tokenizer
        text = self._processor.apply_chat_template(conversation(question_text(sample)), add_generation_prompt=True, tokenize=False)
        inputs = dict(self._processor(text=[text], images=[decode(sample.image)], return_tensors="pt"))
        prompt_ids = inputs.pop("input_ids")[0]
        del inputs["attention_mask"]
        target_ids = tokenizer(sample.answer + tokenizer.eos_token, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
        fields = {name: value[0] if name in _TOKEN_FIELDS else value for name, value in inputs.items()}
        return Example(prompt_ids, target_ids, fields)
