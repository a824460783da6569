"""Questions are the same by their words, or by most of them and the answer; as a plain comparison of all would say."""

from hypothesis import given
from hypothesis import strategies as st

from services.quality.fingerprints import Fingerprint, answer_words, overlap, question_words
from services.quality.question_index import QuestionIndex

QUESTIONS = st.lists(st.sampled_from(["how", "many", "red", "blue", "dots", "boxes", "tallest", "bar"]), max_size=6)
ASKED = st.lists(st.tuples(QUESTIONS, st.sampled_from(["", "3", "red"])), max_size=12)


def asked(words: list[str], answer: str) -> Fingerprint:
    return Fingerprint("0" * 64, question_words(" ".join(words)), answer_words(None, (), answer), 64, b"")


@given(ASKED, st.tuples(QUESTIONS, st.sampled_from(["", "3", "red"])))
def test_the_index_finds_what_a_comparison_of_all_finds(known: list[tuple[list[str], str]], wanted: tuple[list[str], str]) -> None:
    index, marks, mark = QuestionIndex(), [asked(*each) for each in known], asked(*wanted)
    for each in marks:
        index.add(each)
    same_answer = [at for at, each in enumerate(marks) if mark.answer and each.answer == mark.answer]
    same_words = [at for at, each in enumerate(marks) if mark.words and each.words == mark.words]
    alike = [at for at in same_answer if overlap(frozenset(mark.words), marks[at].words) >= 0.6]
    assert index.same_words(mark).tolist() == same_words
    assert index.same_answer(mark).tolist() == same_answer
    assert index.same_question(mark).tolist() == sorted({*same_words, *alike})
    assert len(index) == len(known)
