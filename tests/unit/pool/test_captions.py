"""Words as searches compare them, and BM25 over segments as if they were one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pool.caption_index import CaptionIndex, score_texts
from shared.pool.words import words_of

VOCABULARY = ["cat", "dog", "river", "bridge", "chart", "blue", "old", "of", "cats"]
texts = st.lists(st.lists(st.sampled_from(VOCABULARY), max_size=8).map(" ".join), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Two CATS, on a boat!", ["two", "cat", "boat"]),
        ("cities buses glasses gas this shoes", ["city", "buse", "glasse", "gas", "shoe"]),
        ("Straße ＡＢＣ １２", ["strasse", "abc", "12"]),
        ("bar_chart-3.png", ["bar", "chart", "3", "png"]),
        ("東京の地図 map", ["東京", "京の", "の地", "地図", "map"]),
        ("猫", ["猫"]),
        ("x東京y", ["x", "東京", "y"]),
        ("the of and", []),
        ("", []),
        ("naïve café", ["naïve", "café"]),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert list(words_of(text)) == found


def bm25(corpus: list[str], query: str) -> list[float]:
    """As the formula reads (Lucene's variant, k1 = 1.5, b = 0.75)."""
    documents = [list(words_of(text)) for text in corpus]
    mean = sum(map(len, documents)) / len(documents) or 1.0
    scores = []
    for document in documents:
        score = 0.0
        for word in words_of(query):
            num_with = sum(word in other for other in documents)
            times = document.count(word)
            rarity = math.log(1 + (len(documents) - num_with + 0.5) / (num_with + 0.5))
            score += rarity * times / (times + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean))
        scores.append(score)
    return scores


@given(texts, st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4).map(" ".join))
def test_scores_are_those_of_the_formula(corpus: list[str], query: str) -> None:
    assert score_texts([CaptionIndex(corpus)], query).tolist() == pytest.approx(bm25(corpus, query), rel=1e-4, abs=1e-6)


@given(texts, st.lists(texts, max_size=3), st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4).map(" ".join))
def test_what_matches_does_not_depend_on_segments(first: list[str], others: list[list[str]], query: str) -> None:
    corpus = [*first, *(text for other in others for text in other)]
    whole = score_texts([CaptionIndex(corpus)], query)
    parts = score_texts([CaptionIndex(part) for part in (first, *others)], query)
    assert ((whole > 0) == (parts > 0)).all()


def test_a_rare_word_weighs_the_same_in_a_small_segment_as_in_a_large_one() -> None:
    # Texts of one length: then segments differ in nothing but what bm25s takes for rarity.
    common = ["blue river"] * 500
    large, small = [*common, "old bridge"], ["old bridge", "blue river"]
    scores = score_texts([CaptionIndex(large), CaptionIndex(small)], "bridge")
    assert scores[500] == pytest.approx(scores[501], rel=1e-5)
    assert scores[500] == pytest.approx(score_texts([CaptionIndex(large + small)], "bridge")[500], rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_empty_texts_segments_and_queries_score_nothing() -> None:
    assert score_texts([], "cat").tolist() == []
    assert score_texts([CaptionIndex([])], "cat").tolist() == []
    assert score_texts([CaptionIndex(["", "of the"])], "cat").tolist() == [0, 0]
    assert np.all(score_texts([CaptionIndex(["cat"])], "of the") == 0)
