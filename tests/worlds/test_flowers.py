"""Flowers: every value can be drawn, and every caption can be read back."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from t2i_course.worlds.flowers import ATTRIBUTES, CENTERS, COLORS, FORMS, LEAVES, Flower, Flowers
from t2i_course.worlds.flowers_language import FLOWER_FRAMES, LOOKS_FRAMES, PETALS_FRAMES
from t2i_course.worlds.language import UnknownWord

WORLD = Flowers()


def samples(n, seed=0):
    rng = np.random.default_rng(seed)
    return [WORLD.sample(rng) for _ in range(n)]


def test_there_are_more_than_a_million_flowers():
    colorings = sum(len(COLORS) * (1 if pattern == "plain" else len(COLORS) - 1) for *_, pattern in FORMS)
    number = colorings * len(CENTERS) * 2 * (len(LEAVES) + 1) * len(ATTRIBUTES["background"])
    print(f"{number:,} distinct flowers, not counting their natural variation")
    assert number > 1_000_000


def test_sample_reaches_every_value_and_only_what_can_be_seen():
    seen = {key: set() for key in ATTRIBUTES}
    for spec in samples(1500):
        for key, value in WORLD.truth(spec).items():
            seen[key].add(value)
        assert (spec.arrangement, spec.petal_count, spec.petal_shape, spec.pattern) in FORMS
        assert (spec.pattern == "plain") == (spec.second_color == "none")
        assert spec.color != spec.second_color
    assert seen == {key: set(values) for key, values in ATTRIBUTES.items()}


BASE = Flower("six", "round", "open", "red", "white", "edges", "yellow", "large", "green", "cream", variation=3)


OTHERS = [(key, v) for key, values in ATTRIBUTES.items() for v in values if getattr(BASE, key) != v]


@pytest.mark.parametrize(("key", "value"), OTHERS)
def test_every_value_changes_the_picture(key, value):
    picture = WORLD.render(replace(BASE, **{key: value}), 64).astype(int)
    assert picture.shape == (64, 64, 3)
    changed = np.abs(picture - WORLD.render(BASE, 64)).max(-1) > 40
    assert changed.sum() >= 20


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_every_form_can_be_drawn(form):
    arrangement, count, shape, pattern = form
    second = "none" if pattern == "plain" else "white"
    spec = replace(
        BASE, arrangement=arrangement, petal_count=count, petal_shape=shape, pattern=pattern, second_color=second
    )
    svg = ElementTree.fromstring(spec.svg())
    assert svg.get("viewBox") == "0 0 100 100"
    names = {element.tag.split("}")[1] for element in svg.iter()}
    assert not names & {"text", "image", "filter"}
    ids = [element.get("id") for element in svg.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_variation_changes_the_picture_but_not_the_truth():
    other = replace(BASE, variation=4)
    assert WORLD.truth(other) == WORLD.truth(BASE)
    assert other.svg() != BASE.svg()


def test_flowers_are_the_same_in_another_process():
    program = (
        "from t2i_course.worlds.flowers import Flowers; import numpy as np, zlib; w = Flowers();"
        "s = [w.spec(split, i) for split in ('train', 'novel') for i in range(20)];"
        "t = [w.captions(x, np.random.default_rng(1), 3) for x in s];"
        "print(zlib.crc32(''.join([x.svg() for x in s] + [repr(t)]).encode()))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] != ""


def test_captions_are_read_back_as_they_were_meant():
    rng = np.random.default_rng(7)
    told = set()
    for spec in samples(5000, seed=6):
        text, promised = WORLD.describe(spec, rng)
        assert WORLD.facts(text) == promised, text
        assert promised.items() <= WORLD.truth(spec).items()
        assert promised
        assert "  " not in text
        assert " ," not in text
        told |= set(promised.items())
    assert told == {(key, value) for key, values in ATTRIBUTES.items() for value in values}


def test_a_layered_flower_is_said_to_have_outer_petals():
    rng = np.random.default_rng(3)
    layered = replace(BASE, arrangement="layered")
    told = [text for text, facts in (WORLD.describe(layered, rng) for _ in range(300)) if "petal_count" in facts]
    assert told
    assert all("six outer" in text for text in told)
    assert not any("outer" in text for text in WORLD.captions(BASE, rng, 100))


def test_the_writer_says_only_what_cannot_be_misunderstood():
    rng = np.random.default_rng(4)
    for spec in samples(1000, seed=5):
        text, facts = WORLD.describe(spec, rng)
        if "center_color" in facts:  # never as the third colour of the petals
            assert any(noun in text for noun in ("center", "centre", "middle", "stamens")), text
        assert "form this flower" not in text
        if "background" in facts and "flower" in text:  # a place belongs to the flower, not to its petals
            assert not text.endswith(("dusk", "sunset", "night", "stars")) or text.split()[-3] in ("flower", "under"), (
                text
            )


def test_there_are_many_phrasings():
    assert len(FLOWER_FRAMES + PETALS_FRAMES + LOOKS_FRAMES) >= 12
    texts = WORLD.captions(BASE, np.random.default_rng(0), 40)
    assert len(set(texts)) == 40
    assert len({" ".join(text.split()[:3]) for text in texts}) >= 12


@pytest.mark.parametrize(
    ("caption", "facts"),
    [
        (
            "this flower has petals that are pink, white, and yellow in color, and has petals that are striped",
            {"color": "pink", "second_color": "white", "center_color": "yellow", "pattern": "striped"},
        ),
        (
            "this flower has a lot of small purple petals in a dome-like configuration",
            {"petal_count": "many", "color": "purple", "arrangement": "dome"},
        ),
        ("a flower", {}),
        ("a red flower with white edges", {"color": "red", "second_color": "white", "pattern": "edges"}),
        ("white-edged red petals", {"color": "red", "second_color": "white", "pattern": "edges"}),
        ("petals that are red at the edges", {"second_color": "red", "pattern": "edges"}),
        ("yellow petals edged with red", {"color": "yellow", "second_color": "red", "pattern": "edges"}),
        ("red flower, five petals", {"color": "red", "petal_count": "five"}),
        ("a red flower with 5 petals", {"color": "red", "petal_count": "five"}),
        ("Flower with yellow centre and green leaves.", {"center_color": "yellow", "leaves": "green"}),
        ("flower with a yellow center and leaves", {"center_color": "yellow", "leaves": "green"}),
        ("six pointed blue petals", {"petal_count": "six", "petal_shape": "pointed", "color": "blue"}),
        ("blue striped petals", {"color": "blue", "pattern": "striped"}),
        ("petals are red and the centre is yellow", {"color": "red", "center_color": "yellow"}),
        ("the petals of this flower are red, its centre is small", {"color": "red", "center_size": "small"}),
        ("plain pink petals", {"color": "pink", "pattern": "plain", "second_color": "none"}),
        (
            "red petals that fade to white towards the centre",
            {"color": "red", "second_color": "white", "pattern": "centre"},
        ),
        ("two layers of white petals", {"arrangement": "layered", "color": "white"}),
        (
            "a red bell without leaves on a dark background",
            {"color": "red", "arrangement": "bell", "leaves": "none", "background": "night"},
        ),
        ("the petals are red on a plain blue background", {"color": "red", "background": "sky"}),
        ("a yellow flower with brown in the middle", {"color": "yellow", "center_color": "brown"}),
        ("a yellow flower with brown in the centre", {"color": "yellow", "center_color": "brown"}),
        ("the petals are red and yellow in the middle", {"color": "red", "center_color": "yellow"}),
        ("a red flower in the middle", {"color": "red"}),
        ("a layered flower that has six outer petals", {"arrangement": "layered", "petal_count": "six"}),
        ("purple flower under the evening sky", {"color": "purple", "background": "dusk"}),
    ],
)
def test_what_a_student_would_type(caption, facts):
    assert WORLD.facts(caption) == facts


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("five petals and six petals", "contradicts itself: petal_count"),
        ("a red flower with blue petals", "contradicts itself: color"),
        ("five petals in a dome", "No flower of this world is all of this at once: dome, five"),
        ("red petals with red edges", "must differ"),
        ("a red flower with yellow", "Say which part of the flower is yellow: the petals, their edges"),
        ("this flower has red petals with white", "Say which part of the flower is white"),
        ("plain petals with white stripes", "contradicts itself"),
        ("seven petals", "It can be: three, four"),
        ("green petals", "It can be: red, orange"),
        ("three flowers", "one flower"),
        ("petals without stripes", "leaves only"),
    ],
)
def test_what_no_flower_can_keep_is_refused(caption, message):
    with pytest.raises(ValueError, match=message):
        WORLD.facts(caption)


def test_an_unknown_word_is_named_with_its_nearest():
    with pytest.raises(UnknownWord, match="'petels'.*'petals'"):
        WORLD.facts("five red petels")


def test_withheld_pairs_occur_in_novel_alone():
    specs = samples(3000, seed=2)
    share = np.mean([WORLD.is_novel(WORLD.truth(spec)) for spec in specs])
    assert 0.05 < share < 0.1
    train = [WORLD.truth(WORLD.spec("train", i)) for i in range(1500)]
    for pair in WORLD.withheld:
        assert len(pair) == 2
        assert not any(pair.items() <= truth.items() for truth in train)
        for item in pair.items():  # each half alone is learnt in training
            assert sum(item in truth.items() for truth in train) > 20
    for i in range(50):
        assert WORLD.is_novel(WORLD.truth(WORLD.spec("novel", i)))
        assert WORLD.is_novel(WORLD.caption("novel", i)[1])
