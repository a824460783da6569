"""`spiral pool embed` and searches by meaning, over a real broker and a scripted server of language models."""

from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from services.cli.pool_embed import Embedder
from tests.contract.llm_desk import scripted_desk
from tests.integration.pool_console import pool, stored
from tests.scripted_llm.models_toml import models_toml
from tests.scripted_llm.server import ScriptedLlm
from tests.unit.pool.pictures import encoded, photo

CAPTIONS = {"a": "feline animal", "b": "a cat", "c": "steam engine", "d": ""}
MEANINGS = {"feline animal": [1.0, 0.1, 0.0], "a cat": [1.0, 0.0, 0.1], "steam engine": [0.0, 0.0, 1.0], "cat": [1.0, 0.0, 0.0]}


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """A state directory in which a stack ran once, with four images in its pool."""
    async with LocalStack(tmp_path / "state", rooms=()) as stack:
        await stack.ready()
    return tmp_path / "state"


def nothing(_: object) -> str:
    raise AssertionError("nobody chats here")


def origins(hits: list[dict[str, str]]) -> list[str]:
    return [hit["origin"].removesuffix(".jpg") for hit in hits]


def test_captions_are_embedded_once_and_found_by_meaning(state: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for seed, (name, caption) in enumerate(CAPTIONS.items()):
        (images / f"{name}.jpg").write_bytes(encoded(photo(seed)))
        (images / f"{name}.txt").write_text(caption)
    add = ("add", images, "--licence", "CC0", "--state-dir", state)
    assert pool(*add).code == 0
    with ScriptedLlm(nothing, embedding=lambda text: MEANINGS.get(text, [0.3, 0.3, 0.3])) as llm:
        models = tmp_path / "models.toml"
        models.write_text(models_toml(llm.url))
        named = ("--models", models, "--state-dir", state)
        told = pool("embed", *named)
        assert told.code == 0, told.err
        assert "1 of 1 batches, 3 captions embedded by embedder" in told.out
        assert sorted(text for request in llm.embedding_requests for text in request.texts) == sorted(filter(None, CAPTIONS.values()))
        assert "every caption has its vector" in pool("embed", *named).out
        assert len(llm.embedding_requests) == 1

        by_words = pool("search", "cat", "--json", "--state-dir", state).json()["hits"]
        by_meaning = pool("search", "cat", "--json", "--meaning", *named).json()["hits"]
        assert origins(by_words) == ["b"]
        assert origins(by_meaning) == ["b", "a", "c"]

        (images / "e.jpg").write_bytes(encoded(photo(9)))
        (images / "e.txt").write_text("another cat")
        assert pool(*add).code == 0
        num_manifests = len(stored(state, "manifests"))
        assert "1 of 1 batches, 1 captions" in pool("embed", *named).out
        assert len(stored(state, "manifests")) > num_manifests
        assert llm.violations == []


async def test_many_captions_are_embedded_in_batches_in_their_order_and_paid_once(tmp_path: Path) -> None:
    texts = [f"word-{number} and more" for number in range(150)]
    async with scripted_desk(tmp_path) as (opened, llm):
        embedder = Embedder(opened.models, "embedder", "pool-1")
        vectors = await embedder.embed(texts)
        assert sorted(len(request.texts) for request in llm.embedding_requests) == [22, 64, 64]
        assert [pytest.approx(llm.embedding(text), abs=1e-6) for text in texts] == vectors
        assert await embedder.embed(texts) == vectors
        assert len(llm.embedding_requests) == 3
        assert await embedder.embed([]) == []


def test_a_budget_that_does_not_suffice_stops_before_anything_is_paid(state: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(photo(1)))
    (tmp_path / "a.txt").write_text("a cat")
    assert pool("add", tmp_path / "a.jpg", "--licence", "CC0", "--state-dir", state).code == 0
    with ScriptedLlm(nothing) as llm:
        models = tmp_path / "models.toml"
        models.write_text(models_toml(llm.url, usd_per_call=0.01))
        told = pool("embed", "--models", models, "--max-cost-usd", "0.001", "--state-dir", state)
        assert told.code == 1
        assert "budget" in told.err
        assert llm.embedding_requests == []
        assert pool("embed", "--models", models, "--max-cost-usd", "1", "--state-dir", state).code == 0


def test_a_models_file_without_a_model_that_embeds_is_told(state: Path, tmp_path: Path) -> None:
    models = tmp_path / "models.toml"
    models.write_text(models_toml("http://127.0.0.1:9/v1", embed=None))
    told = pool("embed", "--models", models, "--state-dir", state)
    assert told.code == 2
    assert "no model for the role embed" in told.err
