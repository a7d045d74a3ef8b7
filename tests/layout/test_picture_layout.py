"""The whole system: from text to picture."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from t2i_course.layout import abc
from t2i_course.layout.clauses import links, phrases
from t2i_course.layout.collage import Arrow, Card, compose
from t2i_course.layout.optimise import Weights
from t2i_course.layout.picture_layout import PictureLayout, abc_rows, arrows_of, problem_of, read
from t2i_course.layout.pictures import LibraryPicture, PictureLibrary
from t2i_course.layout.tagging import tag_text
from t2i_course.worlds.base import rasterise

FARM = "First the farmer gives hay to the goat. Then the farmer gets milk from the cow."


@pytest.fixture(scope="module")
def system():
    return PictureLayout()


def linked(text):
    """(who, verb or preposition, whom) by base form."""
    words = tag_text(text)
    found = phrases(words)

    def head(i):
        return words[found[i].head].lemma

    return [
        (head(link.source), head(link.verb) if link.verb is not None else link.preposition, head(link.target))
        for link in links(words, found)
    ]


def drawn(text, **options):
    return [(i.picture.name, i.number) for i in read(text, PictureLibrary.default(), **options).items]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FARM, [("farmer", "give", "hay"), ("hay", "to", "goat"), ("farmer", "get", "milk"), ("cow", "from", "milk")]),
        ("The nurse is kissed by the sailor.", [("sailor", "kiss", "nurse")]),
        ("The girl has a dog. She feeds it.", [("girl", "have", "dog"), ("girl", "feed", "dog")]),
        ("The goat eats the hay and the cow sleeps.", [("goat", "eat", "hay")]),
        ("The bear sat and watched the bees.", [("bear", "watch", "bee")]),
        ("A herd of elephants flying in the blue skies", [("elephant", "fly", "sky")]),
        ("The farmer gives the goat hay.", [("farmer", "give", "hay"), ("hay", "to", "goat")]),
        ("The farmer feeds the goat fresh hay.", [("farmer", "feed", "hay"), ("hay", "to", "goat")]),
        (
            "The girl has a dog. The boy gives it water.",
            [("girl", "have", "dog"), ("boy", "give", "water"), ("water", "to", "dog")],
        ),
        ("The boy gives the fire truck to the girl.", [("boy", "give", "truck"), ("truck", "to", "girl")]),
        ("The woman sells apple juice.", [("woman", "sell", "juice")]),
        ("The king offers bread and milk.", [("king", "offer", "bread"), ("king", "offer", "milk")]),
    ],
)
def test_links_join_who_and_whom(text, expected):
    assert linked(text) == expected


def test_the_farm_story_draws_its_five_things_in_the_order_of_the_text():
    assert drawn(FARM) == [("farmer", 1), ("hay", 1), ("goat", 1), ("milk", 1), ("cow", 1)]


def test_two_objects_in_a_row_are_two_things():
    assert drawn("The farmer gives the goat hay.") == [("farmer", 1), ("goat", 1), ("hay", 1)]
    assert {k.text for k in read("The farmer gives the goat hay.", PictureLibrary.default()).keyphrases} >= {
        "goat",
        "hay",
    }


def test_the_largest_number_said_of_a_thing_is_drawn():
    assert drawn("The girl has a dog. Then three dogs come.") == [("girl", 1), ("dog", 3)]
    assert drawn("Three dogs come. The girl has a dog.") == [("dog", 3), ("girl", 1)]


def test_arrows_link_subject_to_object_and_carry_the_verb():
    library = PictureLibrary.default()
    story = read(FARM, library)
    cards = [Card(item.picture, 10, 10, 5) for item in story.items]
    found = [
        (a.source.picture.name, a.verb and a.verb.name, a.target.picture.name) for a in arrows_of(story, cards, library)
    ]
    assert found == [("farmer", "give", "hay"), ("hay", None, "goat"), ("farmer", "get", "milk"), ("cow", None, "milk")]


def test_linked_pictures_want_to_be_close():
    problem = problem_of(read(FARM, PictureLibrary.default()))
    farmer, hay, goat, milk, cow = range(5)
    assert problem.closeness[farmer, hay] == problem.closeness[cow, milk] == 1
    assert problem.closeness[goat, milk] == problem.closeness[goat, cow] == 0
    np.testing.assert_array_equal(problem.closeness, problem.closeness.T)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a herd of elephants flying in the blue skies", [("elephant", 4), ("sky", 1)]),
        ("a stop sign is flying in blue skies", [("stop sign", 1), ("sky", 1)]),
        ("two red cars left of a green tree", [("car", 2), ("tree", 1)]),
        ("three cups on the left of a white butterfly", [("cup", 3), ("butterfly", 1)]),
        ("this flower has purple petals", [("flower", 1), ("petal", 3)]),
    ],
)
def test_world_captions_are_drawn_with_their_numbers(caption, expected):
    assert drawn(caption) == expected


def test_colours_reach_pictures_that_can_take_them():
    story = read("A red car and a blue car.", PictureLibrary.default())
    red, blue = story.items
    assert red.picture == blue.picture
    assert red.colour != blue.colour
    svg = compose([Card(item.picture, 30 + 40 * k, 50, 30, colour=item.colour) for k, item in enumerate(story.items)])
    assert f'color="{red.colour}"' in svg
    assert f'color="{blue.colour}"' in svg


def test_long_texts_draw_only_the_most_important_things():
    library = PictureLibrary.default()
    nouns = [p.name for p in library.pictures if p.pos == "noun" and " " not in p.name][:60]
    text = " ".join(f"The {a} sees the {b}." for a, b in zip(nouns, nouns[1:], strict=False))
    assert len(read(text, library).items) == 10
    assert len(read(text, library, max_pictures=4).items) == 4


@pytest.mark.parametrize("layout", ["collage", "abc", "strip"])
def test_pictures_are_uint8_and_the_same_for_the_same_seed(system, layout):
    texts = [FARM, "The girl rides the bus to school."]
    one = system.draw(texts, seed=1, size=96, layout=layout)
    assert one.shape == (2, 96, 96, 3)
    assert one.dtype == np.uint8
    assert one.std() > 10
    np.testing.assert_array_equal(one, system.draw(texts, seed=1, size=96, layout=layout))
    np.testing.assert_array_equal(one[1:], system.draw(texts[1:], seed=1, size=96, layout=layout))


def test_another_seed_gives_another_collage(system):
    assert (system.draw([FARM], seed=0, size=64) != system.draw([FARM], seed=1, size=64)).any()


def test_pictures_are_the_same_in_another_process(system):
    code = (
        "import zlib; from t2i_course.layout.picture_layout import PictureLayout as P; "
        f"print(zlib.crc32(P().draw([{FARM!r}], seed=5, size=64).tobytes()))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(other) == zlib.crc32(system.draw([FARM], seed=5, size=64).tobytes())


def test_the_film_ends_with_the_drawing(system):
    frames = list(system.frames([FARM, "The cow sleeps."], size=64, film_frames=12))
    assert len(frames) == 12
    np.testing.assert_array_equal(frames[-1], system.draw([FARM, "The cow sleeps."], size=64))
    assert (frames[0] != frames[-1]).any()
    assert len(list(system.frames([FARM], size=64, layout="abc"))) == 1


def test_story_info_shows_every_intermediate(system):
    info = system.story_info(FARM)
    assert info["keyphrases"].keys() >= {"farmer", "hay", "goat", "milk", "cow"}
    assert info["candidates"]["hay"] == ["hay"]
    assert ("the farmer", "gives", "hay") in info["links"]
    assert info["energies"][-1]["energy"] <= min(e["energy"] for e in info["energies"]) + 1e-12
    assert [p["picture"] for p in info["layout"]] == ["farmer", "hay", "goat", "milk", "cow"]
    assert len(info["graph"]) == len(info["ranks"]) == len(info["picturability"])


def test_weights_change_the_layout(system):
    def terms(weights):
        return system.story_info(FARM, weights=weights)["energies"][-1]

    assert terms(Weights(0, 1, 1))["overlap"] > 1  # nothing keeps the pictures apart
    assert terms(Weights(4, 1, 1))["overlap"] < 0.1
    assert terms(Weights(4, 0, 5))["closeness"] <= terms(Weights(4, 5, 0))["closeness"]


def test_abc_labels_who_what_whom():
    words = tag_text("The girl rides the bus to school.")
    assert [(words[p.head].lemma, tag) for p, tag in abc.label(words)] == [
        ("girl", "A"),
        ("ride", "B"),
        ("bus", "C"),
        ("school", "C"),
    ]
    library = PictureLibrary.default()
    rows = [{k: [i.picture.name for i in v] for k, v in row.items()} for row in abc_rows(read(FARM, library), library)]
    assert rows == [
        {"A": ["farmer"], "B": ["give"], "C": ["hay", "goat"]},
        {"A": ["farmer"], "B": ["get"], "C": ["milk", "cow"]},
    ]


@pytest.mark.parametrize("text", ["Elephant day", "bear week", "stolen go"])
def test_abc_without_any_label_is_a_strip(system, text):
    library = PictureLibrary.default()
    assert abc_rows(read(text, library), library) == []
    np.testing.assert_array_equal(
        system.draw([text], layout="abc", size=64), system.draw([text], layout="strip", size=64)
    )


def test_abc_features_do_not_look_into_other_sentences():
    alone, second = tag_text("The girl rides the bus."), tag_text("Bread, milk and jam. The girl rides the bus.")
    own = [phrase for phrase in phrases(second) if second[phrase.head].sentence == 1]
    assert abc.features(second, own) == abc.features(alone, phrases(alone))


def test_a_folder_of_photographs_is_a_library(tmp_path, system):
    for name, colour in (("farmer.png", "red"), ("goat_1.jpg", "white"), ("goat_2.jpg", "grey")):
        Image.new("RGB", (40, 60), colour).save(tmp_path / name)
    picture = system.draw(["The farmer has a goat."], size=128, library=tmp_path)[0]
    assert (np.abs(picture.astype(int) - (255, 0, 0)).sum(-1) < 12).sum() > 200


@pytest.mark.parametrize("text", ["", "  ", "the of and", "!!!", "Justice requires patience.", "123"])
def test_texts_without_a_picture_say_so(system, text):
    with pytest.raises(ValueError, match="can be drawn|to draw"):
        system.draw([text])


@pytest.mark.parametrize(
    ("captions", "options", "message"),
    [
        (FARM, {}, "list of texts"),
        ([], {}, "empty"),
        ([7], {}, "string"),
        ([FARM], {"layout": "circle"}, "collage, abc, strip"),
        ([FARM], {"size": 4}, "from 16 to 4096"),
        ([FARM], {"weights": (1, 2)}, "three numbers"),
        ([FARM], {"weights": (1, -1, 0)}, "three numbers"),
        (None, {}, "list of texts"),
        ([FARM], {"size": "abc"}, "size is a whole number"),
        ([FARM], {"size": None}, "size is a whole number"),
        ([FARM], {"size": 64.5}, "size is a whole number"),
        ([FARM], {"size": True}, "size is a whole number"),
        ([FARM], {"weights": 3}, "three numbers"),
        ([FARM], {"weights": None}, "three numbers"),
        ([FARM], {"weights": (1, 2, "a")}, "three numbers"),
        ([FARM], {"weights": (1, 2, float("nan"))}, "three numbers"),
        ([FARM], {"max_pictures": 0}, "max_pictures is a whole number from 1 on"),
        ([FARM], {"max_pictures": "x"}, "max_pictures is a whole number"),
        ([FARM], {"seed": -1}, "seed is a whole number"),
        ([FARM], {"seed": "x"}, "seed is a whole number"),
        ([FARM], {"library": "no/such/folder"}, "no folder"),
        ([FARM], {"library": 5}, "library is a PictureLibrary or a folder"),
    ],
)
def test_bad_input_is_refused_with_a_reason(system, captions, options, message):
    with pytest.raises(ValueError, match=message):
        system.draw(captions, **options)


@pytest.mark.parametrize("film_frames", [0, 2.5, "x"])
def test_a_film_has_a_whole_number_of_frames(system, film_frames):
    with pytest.raises(ValueError, match="film_frames is a whole number from 1 on"):
        next(system.frames([FARM], film_frames=film_frames))


@pytest.mark.parametrize(
    "svg",
    [
        '<style>.cls-1{{fill:{0}}}</style><rect class="cls-1" width="9" height="9"/>',
        '<defs><linearGradient id="a"><stop stop-color="{0}"/></linearGradient></defs>'
        '<rect fill="url(#a)" width="9" height="9"/>',
    ],
)
def test_styles_and_ids_of_ones_own_pictures_do_not_meet(tmp_path, svg):
    cards = []
    for k, (name, colour) in enumerate((("cow", "#FF0000"), ("dog", "#0000FF"))):
        head = '<svg xmlns="http://www.w3.org/2000/svg" aria-label="x > y, it\'s \'{0}\'" viewBox="0 0 9 9">'
        (tmp_path / f"{name}.svg").write_text((head + svg + "</svg>").format(colour))
        cards.append(Card(LibraryPicture(name, tmp_path / f"{name}.svg"), 25 + 50 * k, 50, 40))
    picture = rasterise(compose(cards), 100)
    assert tuple(picture[50, 25]) == (255, 0, 0)
    assert tuple(picture[50, 75]) == (0, 0, 255)


def test_an_svg_without_a_viewbox_is_drawn(tmp_path, system):
    for size in ("", ' width="8" height="8"'):
        (tmp_path / "cat.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg"{size}><rect width="8" height="8" fill="#FF0000"/></svg>'
        )
        picture = system.draw(["A cat."], size=64, library=tmp_path)[0]
        assert tuple(picture[32, 32]) == (255, 0, 0)


def test_nearer_cards_are_painted_later_and_arrows_last():
    cow, goat = (PictureLibrary.default().candidates(name)[0] for name in ("cow", "goat"))
    near, far = Card(cow, 40, 50, 30, depth=0), Card(goat, 60, 50, 30, depth=1)
    svg = compose([near, far], [Arrow(near, far)])
    inner = {
        name: picture.source[picture.source.index(">") + 1 :][:60] for name, picture in (("cow", cow), ("goat", goat))
    }
    assert svg.index(inner["goat"]) < svg.index(inner["cow"]) < svg.rindex("<path")


def test_the_package_needs_no_torch():
    code = (
        f"import sys; from t2i_course.layout.picture_layout import PictureLayout as P; P().draw([{FARM!r}], size=64); "
    )
    code += "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]
