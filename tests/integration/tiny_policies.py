"""Randomly initialised checkpoints of both model families, made in a second."""

from pathlib import Path

from deploy.local.base_model.architecture import Family, build_model, build_processor
from deploy.local.base_model.tokenizer import train_tokenizer
from services.generators.rendered.candidates import CELLS, make_candidates
from shared.domain import Candidate, Cell
from shared.prompt import render_question

FAMILIES: tuple[Family, ...] = ("qwen3_vl", "qwen2_5_vl")


def questions(num_per_cell: int, seed: int = 0, cells: tuple[Cell, ...] = CELLS) -> list[Candidate]:
    return [candidate for cell in cells for candidate in make_candidates(cell, num_per_cell, seed, 0.5, 64)]


def text_of(candidate: Candidate) -> str:
    return render_question(candidate.question, candidate.cell.question_type, candidate.choices)


def write_policy(directory: Path, family: Family, seed: int = 0) -> Path:
    """A checkpoint directory with weights, tokenizer and processor."""
    tokenizer = train_tokenizer([text_of(candidate) for candidate in questions(4)], 400)
    build_model(family, len(tokenizer), seed).save_pretrained(directory)
    build_processor(family, tokenizer).save_pretrained(directory)
    return directory
