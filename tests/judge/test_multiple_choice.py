"""Multiple choice: exactly one caption of a question is true, and answers are counted as they should be."""

from collections import Counter

import pytest
import torch

from t2i_course import worlds
from t2i_course.judge.caption_accuracy import group
from t2i_course.judge.multiple_choice import Question, accuracy, chance, questions, read_right, swapped
from t2i_course.worlds.language import words


@pytest.mark.parametrize("name", worlds.NAMES)
@pytest.mark.parametrize("ask", [questions, swapped])
def test_exactly_one_caption_of_a_question_is_true(name, ask):
    world, asked = worlds.load(name), Counter()
    for split in ("test", "novel"):
        for i in range(60):
            truth = world.truth(world.spec(split, i))
            for question in ask(world, truth):
                asked[group(question.attribute)] += 1
                fits = [world.facts(caption).items() <= truth.items() for caption in question.captions]
                assert fits == [k == question.right for k in range(len(fits))], question
    assert set(asked) == ({"swapped"} if ask is swapped else {*map(group, world.attributes), *asked})
    assert min(asked.values()) >= 10


@pytest.mark.parametrize("name", worlds.NAMES)
def test_nothing_is_left_unasked(name):
    world = worlds.load(name)
    some = [world.truth(world.spec("test", i)) for i in range(40)]
    asked = {group(question.attribute) for truth in some for question in questions(world, truth)}
    assert asked == {group(attribute) for truth in some for attribute in truth}


@pytest.mark.parametrize("name", worlds.NAMES)
def test_swapped_captions_hold_the_same_words(name):
    world = worlds.load(name)
    for i in range(40):
        for question in swapped(world, world.truth(world.spec("test", i))):
            first, second = (Counter(words(caption)) for caption in question.captions)
            articles = {"a": first["a"] + first["an"], "an": 0}  # "an orange", "a red"
            assert first | articles == second | articles
            assert second["a"] + second["an"] == articles["a"]
            assert question.captions[0] != question.captions[1]


ASKED = [
    [Question("color", ("red", "blue"), 0), Question("count:car", ("one", "two", "three"), 2)],
    [Question("color", ("red", "blue"), 1)],
]


def test_answers_are_counted():
    table = {"red": [1.0, 1.0], "blue": [0.0, 0.5], "one": [0.0, 9.0], "two": [0.1, 9.0], "three": [0.2, 9.0]}
    shares = accuracy(ASKED, lambda captions: torch.tensor([table[c] for c in captions]))
    assert shares == {"color": 0.5, "count": 1.0}
    assert chance(ASKED) == {"color": 0.5, "count": pytest.approx(1 / 3)}


def test_a_recogniser_is_asked_the_same():
    truth = [{"color": "red", "count:car": "three"}, {"color": "blue"}]
    assert read_right(ASKED, truth, [{"color": "red"}, {"color": "blue"}]) == {"color": 1.0, "count": 0.0}
