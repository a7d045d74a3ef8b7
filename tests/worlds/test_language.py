import doctest

import pytest

from t2i_course.worlds import language


def test_examples_in_the_docstrings():
    assert doctest.testmod(language).failed == 0


def test_words_of_strange_captions():
    assert language.words("  The BIRD’s wing,is blue!! ") == ["the", "bird", "wing", ",", "is", "blue"]
    assert language.words("") == []
    assert language.words("12 petals, 13 leaves") == ["twelve", "petals", ",", "13", "leaves"]
    with pytest.raises(ValueError, match="not NoneType"):
        language.words(None)


def test_an_unknown_word_is_named_with_its_nearest():
    with pytest.raises(language.UnknownWord, match="'purpel' means nothing.*Did you mean 'purple'") as error:
        language.check_words(["a", "purpel"], {"a", "purple", "red"})
    assert error.value.word == "purpel"
    with pytest.raises(language.UnknownWord, match="No known word is near"):
        language.check_words(["xyzzy"], {"a", "purple"})
    language.check_words(["a", ",", "purple"], {"a", "purple"})


def test_unknown_colors_and_numbers_are_answered_with_the_known_ones():
    known = {"a", "flock", "red", "grey", "one", "two"}
    with pytest.raises(language.UnknownWord, match="'black' means nothing.*The colors here are: red, grey"):
        language.check_words(["a", "black"], known)
    with pytest.raises(language.UnknownWord, match="'five' means nothing.*The numbers here are: one, two"):
        language.check_words(["five"], known)


@pytest.mark.parametrize(
    ("parts", "joined"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b, and c")]
)
def test_join(parts, joined):
    assert language.join(parts) == joined


def test_articles_follow_the_sound():
    phrases = ["orange flower", "red one", "elephant", "one-legged bird", "umbrella", "unicorn"]
    assert [language.a_or_an(p).split()[0] for p in phrases] == ["an", "a", "an", "a", "an", "a"]
