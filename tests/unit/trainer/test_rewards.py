from services.trainer.rewards import typed_reward


def said(*texts: str) -> list[list[dict[str, str]]]:
    return [[{"role": "assistant", "content": text}] for text in texts]


def test_each_question_type_is_rewarded_by_its_own_grader() -> None:
    rewards = typed_reward(
        said("B", "3.0", "Red", "A", "four", ""),
        answer=["B", "3", "red", "B", "5", "red"],
        question_type=["multiple_choice", "numeric", "text", "multiple_choice", "numeric", "text"],
        choices=[["one", "two"], [], [], ["one", "two"], [], []],
        tolerance=[0.0] * 6,
    )
    assert rewards[:3] == [1.0, 1.0, 1.0]
    assert rewards[3] == rewards[4] == 0.1
    assert rewards[5] == 0.0


def test_a_wrong_answer_is_never_worth_as_much_as_a_right_one_and_more_than_none() -> None:
    right, wrong, none = typed_reward(
        said("7", "8", "I see a chart"), answer=["7"] * 3, question_type=["numeric"] * 3, choices=[[]] * 3, tolerance=[0.0] * 3
    )
    assert 1.0 == right > wrong > none == 0.0


def test_accuracy_is_logged_without_the_shaping() -> None:
    logged: dict[str, float] = {}
    rewards = typed_reward(
        said("7", "8", "?", "7.2"),
        answer=["7"] * 4,
        question_type=["numeric"] * 4,
        choices=[[]] * 4,
        tolerance=[0.0, 0.0, 0.0, 0.5],
        log_metric=lambda name, value: logged.update({name: value}),
        trainer_state=None,
    )
    assert logged == {"accuracy": 0.5}
    assert sum(rewards) / len(rewards) > 0.5


def test_the_last_message_counts() -> None:
    turns = [{"role": "assistant", "content": "C"}, {"role": "assistant", "content": "B"}]
    assert typed_reward([turns], answer=["B"], question_type=["multiple_choice"], choices=[["x", "y", "z"]], tolerance=[0.0]) == [1.0]
