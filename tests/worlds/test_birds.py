"""The world of birds: what is drawn, what captions promise, and what no caption can promise."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from t2i_course.worlds.birds import ATTRIBUTES, BILLS, COLOURS, MAIN_PARTS, POSES, Bird, Birds
from t2i_course.worlds.birds_language import TEMPLATES
from t2i_course.worlds.language import UnknownWord

world = Birds()
PLAIN = Bird(
    **{"size": "medium", "pose": "perched", "place": "branch"},
    **dict.fromkeys(MAIN_PARTS, "grey"),
    **{"bill": "orange", "bill_length": "long", "bill_shape": "pointed"},
    **{"crest": "none", "cheek_patch": "none", "eye_ring": "none", "variation": 3},
)


def everywhere(colour):
    return dict.fromkeys(MAIN_PARTS, colour)


@pytest.fixture(scope="module")
def specs():
    rng = np.random.default_rng(0)
    return [world.sample(rng) for _ in range(5000)]


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_value_is_drawn_differently(attribute):
    pictures = {world.render(replace(PLAIN, **{attribute: value}), 64).tobytes() for value in ATTRIBUTES[attribute]}
    assert len(pictures) == len(ATTRIBUTES[attribute])


def test_marks_are_large_enough_to_be_seen_on_the_smallest_bird():
    for pose, place in dict.fromkeys(POSES):
        plain = replace(PLAIN, size="small", pose=pose, place=place, bill_length="short")
        for change in (
            {"eye_ring": "white"},
            {"cheek_patch": "white"},
            {"crest": "red"},
            {"bill": "blue"},
            {"tail": "red"},
        ):
            before, after = (world.render(spec, 64).astype(int) for spec in (plain, replace(plain, **change)))
            assert (np.abs(after - before).max(axis=-1) > 40).sum() >= 5, (pose, change)


def test_no_bird_leaves_the_picture():
    longest = replace(PLAIN, size="large", crest="red", bill_shape="curved", **everywhere("black"))
    for pose, place in dict.fromkeys(POSES):
        for variation in range(6):
            here = replace(longest, pose=pose, place=place, variation=variation)
            other = replace(here, bill="black", crest="white", **everywhere("white"))
            changed = np.abs(world.render(here, 100).astype(int) - world.render(other, 100)).max(axis=-1) > 60
            assert changed.any()
            edges = np.concatenate([changed[0], changed[:, 0], changed[:, -1]])
            assert not edges.any(), (pose, variation)


def test_svg_is_plain_xml_without_text_filters_or_images(specs):
    for spec in specs[:100]:
        root = ElementTree.fromstring(spec.svg())
        assert root.get("viewBox") == "0 0 100 100"
        kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not kinds & {"text", "filter", "image", "script"}


def test_variation_changes_the_picture_but_not_the_truth():
    other = replace(PLAIN, variation=4)
    assert other.svg() != PLAIN.svg()
    assert world.truth(other) == world.truth(PLAIN)


def test_same_pictures_and_captions_in_every_process():
    code = (
        "import zlib; from t2i_course.worlds.birds import Birds; w = Birds();"
        "print([(zlib.crc32(w.spec('val', i).svg().encode()), w.caption('val', i)[0]) for i in range(5)])"
    )
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1


# --- what there is ----------------------------------------------------------------------------------------------------


def test_more_than_a_million_birds(specs):
    assert len(COLOURS) ** len(MAIN_PARTS) * len(set(POSES)) * len(set(BILLS)) >= 1_000_000
    assert len({tuple(world.truth(spec).values()) for spec in specs}) > 4900


def test_sampling_shows_every_value_and_only_possible_pairs(specs):
    for attribute, values in ATTRIBUTES.items():
        assert {getattr(spec, attribute) for spec in specs} == set(values)
    assert {(spec.pose, spec.place) for spec in specs} == set(POSES)
    assert {(spec.bill_length, spec.bill_shape) for spec in specs} == set(BILLS)
    assert not any("none" != spec.cheek_patch == spec.crown for spec in specs)
    assert not any("none" != spec.eye_ring == spec.crown for spec in specs)
    assert sum(len({getattr(spec, part) for part in MAIN_PARTS}) == 1 for spec in specs) > 500  # "almost all black"


def test_withheld_pairs_are_a_small_share_and_never_in_training(specs):
    novel = [spec for spec in specs if world.is_novel(world.truth(spec))]
    assert 0.05 <= len(novel) / len(specs) <= 0.10
    assert {world.split_of(spec) for spec in novel} == {"novel"}
    training = [world.spec("train", i) for i in range(1500)]
    assert not any(world.is_novel(world.truth(spec)) for spec in training)
    for attribute, values in ATTRIBUTES.items():
        assert {getattr(spec, attribute) for spec in training} == set(values)


# --- captions ---------------------------------------------------------------------------------------------------------


def test_captions_promise_what_is_true_and_are_read_back(specs):
    rng, told = np.random.default_rng(1), Counter()
    for spec in specs:
        caption, promised = world.describe(spec, rng)
        assert world.facts(caption) == promised, caption
        assert promised.items() <= world.truth(spec).items(), caption
        assert promised
        told.update(promised.keys())
    assert set(told) == set(ATTRIBUTES)


def test_at_least_twelve_phrasings(specs):
    assert sum(len(templates.split("|")) for templates in TEMPLATES.values()) >= 12
    for spec in specs[:20]:
        assert len(set(world.captions(spec, np.random.default_rng(0), 12))) == 12


@pytest.mark.parametrize(
    ("caption", "facts"),
    [
        (
            "this small bird has a pink breast and crown, and black primaries and secondaries",
            {"size": "small", "breast": "pink", "crown": "pink", "wings": "black"},
        ),
        (
            "this magnificent fellow is almost all black with a red crest, and white cheek patch",
            everywhere("black") | {"crest": "red", "cheek_patch": "white"},
        ),
        ("a bird", {}),
        ("A red bird.", everywhere("red")),
        ("the bird is small and red", everywhere("red") | {"size": "small"}),
        ("small blue bird with a yellow belly", everywhere("blue") | {"size": "small", "belly": "yellow"}),
        ("black bird flying in the sky", everywhere("black") | {"pose": "flying", "place": "sky"}),
        ("this bird is black on a branch", everywhere("black") | {"place": "branch"}),
        ("a bird with a long curved bill", {"bill_length": "long", "bill_shape": "curved"}),
        ("a big bird with a small orange beak", {"size": "large", "bill_length": "short", "bill": "orange"}),
        ("its beak is long, curved, and gray", {"bill_length": "long", "bill_shape": "curved", "bill": "grey"}),
        ("grey wings", {"wings": "grey"}),
        ("a bird with gray wings and golden tail feathers", {"wings": "grey", "tail": "yellow"}),
        ("a bird with wings that are black and yellow belly", {"wings": "black", "belly": "yellow"}),
        ("this bird is pink on its breast and black on the wings", {"breast": "pink", "wings": "black"}),
        ("its crown is red and its wings and tail are blue", {"crown": "red", "wings": "blue", "tail": "blue"}),
        ("the crown and belly of this bird are white", {"crown": "white", "belly": "white"}),
        ("bird with blue head, white body", {"crown": "blue", "breast": "white", "belly": "white"}),
        ("a bird with a red crest and a tail that is blue", {"crest": "red", "tail": "blue"}),
        ("a red crest and tail feathers that are blue", {"crest": "red", "tail": "blue"}),
        ("a red crest and tail feathers", {"crest": "red", "tail": "red"}),
        ("red wings, all", {"wings": "red"}),
        ("feathers are blue", everywhere("blue")),
        ("a bird with a yellow ring around its eye", {"eye_ring": "yellow"}),
        ("a bird with no crest or eye ring", {"crest": "none", "eye_ring": "none"}),
        ("a bird sitting in the grass", {"pose": "standing", "place": "grass"}),
        ("a bird in flight over the sea", {"pose": "flying", "place": "water"}),
    ],
)
def test_what_students_and_the_lecture_write(caption, facts):
    assert world.facts(caption) == facts


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("a small large bird", "size is 'small' and also 'large'"),
        ("a black and white bird", "say which part is white: wings, belly"),
        ("a red and black bird", "say which part is black: wings, belly"),
        ("a bird that is red and black", "say which part is black: wings, belly"),
        ("a red bird with black", "say which part is black: wings, belly"),
        ("a bird with red wings and a black back", "wings is 'red' and also 'black'"),
        ("a bird with a long tail", "'long' cannot be said of the tail"),
        ("a bird with a green bill", "only red, orange, yellow, blue, grey, or black"),
        ("a bird without wings", "no wings"),
        ("a bird without a red crest", "no red crest"),
        ("red", "describes nothing"),
        ("a bird flying on a branch", "goes with place"),
        ("a bird with a short curved bill", "goes with bill_shape"),
        ("a red bird with a red cheek patch", "cannot be told from a red head"),
    ],
)
def test_contradictions_and_impossible_birds_are_refused(caption, reason):
    with pytest.raises(ValueError, match=reason):
        world.facts(caption)


def test_an_unknown_word_is_named_with_its_neighbours():
    with pytest.raises(UnknownWord, match="'yelow'.*'yellow'"):
        world.facts("a yelow bird")
