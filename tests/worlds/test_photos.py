"""The readers of the real data sets, on tiny folders in the published layouts."""

import json

import numpy as np
import pytest
from PIL import Image

from t2i_course.worlds import photos


def jpeg(path, colour, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def reed(folder, classes):
    """Reed's captions: `classes` is {class: {stem: lines}}."""
    for class_name, files in classes.items():
        for stem, lines in files.items():
            file = folder / "text_c10" / class_name / f"{stem}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(lines) + "\n")
            file.with_suffix(".h5").write_bytes(b"not read")


@pytest.fixture
def flowers(tmp_path):
    jpeg(tmp_path / "jpg" / "image_00001.jpg", (255, 0, 0))
    jpeg(tmp_path / "jpg" / "image_00002.jpg", (0, 0, 255))
    captions = tmp_path / "cvpr2016_flowers"
    ten = [f"this flower is red, number {i}" for i in range(10)]
    reed(captions, {"class_00001": {"image_00001": ten}, "class_00002": {"image_00002": ["a blue one"]}})
    (captions / "trainclasses.txt").write_text("class_00001\n")
    (captions / "testclasses.txt").write_text("class_00002\n")
    return tmp_path, captions


def test_flowers_splits_captions_and_pixels(flowers):
    (batch,) = photos.oxford_flowers(*flowers, "train").batches(16, 4)
    assert batch.pictures.shape == (1, 3, 16, 16)
    assert batch.pictures[0, :, 8, 8].tolist() == pytest.approx([1, -1, -1], abs=0.05)
    assert batch.captions[0].startswith("this flower is red")
    assert batch.facts == [{}]
    (batch,) = photos.oxford_flowers(*flowers, "test").batches(16, 4)
    assert batch.captions == ["a blue one"]


def test_each_epoch_may_choose_another_caption_and_start_continues(flowers):
    reader = photos.oxford_flowers(*flowers, "train")
    all_captions = [batch.captions[0] for batch in reader.batches(8, 1, epochs=12)]
    assert len(set(all_captions)) > 3
    assert [batch.captions[0] for batch in reader.batches(8, 1, epochs=12, start=5)] == all_captions[5:]


def test_cub(tmp_path):
    bird = "001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111"
    jpeg(tmp_path / "CUB_200_2011" / "images" / f"{bird}.jpg", (0, 255, 0), (30, 60))
    captions = tmp_path / "cvpr2016_cub"
    reed(captions, {bird.split("/")[0]: {bird.split("/")[1]: ["a green bird"]}})
    (captions / "trainvalclasses.txt").write_text(bird.split("/")[0])
    (batch,) = photos.cub(tmp_path / "CUB_200_2011", captions).batches(8, 2)
    assert batch.captions == ["a green bird"]
    assert np.allclose(batch.pictures[0, 1], 1, atol=0.05)


def test_coco(tmp_path):
    jpeg(tmp_path / "val2014" / "COCO_val2014_000000000042.jpg", (9, 9, 9))
    annotations = tmp_path / "annotations" / "captions_val2014.json"
    annotations.parent.mkdir()
    images = [{"id": 42, "file_name": "COCO_val2014_000000000042.jpg"}]
    written = [{"image_id": 42, "caption": " A dog \n on grass."}, {"image_id": 42, "caption": "Dog."}]
    annotations.write_text(json.dumps({"images": images, "annotations": written}))
    reader = photos.coco(tmp_path, "val")
    assert reader.items[0][1] == ["A dog on grass.", "Dog."]
    assert next(reader.batches(8, 1)).pictures.shape == (1, 3, 8, 8)
    annotations.write_text('{"images": [')
    with pytest.raises(ValueError, match=r"captions_val2014\.json is not the published file"):
        photos.coco(tmp_path, "val")
    with pytest.raises(ValueError, match="train2014 does not exist; extract train2014.zip"):
        photos.coco(tmp_path, "train")


def test_what_is_missing_is_said(flowers, tmp_path):
    images, captions = flowers
    with pytest.raises(ValueError, match="102flowers.tgz"):
        photos.oxford_flowers(tmp_path / "nowhere", captions)
    with pytest.raises(ValueError, match="captions of Reed et al"):
        photos.oxford_flowers(images, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="valclasses.txt is missing"):
        photos.oxford_flowers(images, captions, "val")
    with pytest.raises(ValueError, match="has the splits"):
        photos.oxford_flowers(images, captions, "novel")
    (images / "jpg" / "image_00001.jpg").write_bytes(b"\xff\xd8 broken")
    with pytest.raises(ValueError, match=r"image_00001\.jpg cannot be read"):
        next(photos.oxford_flowers(images, captions).batches(8, 1))
    (images / "jpg" / "image_00001.jpg").unlink()
    with pytest.raises(ValueError, match="1 of 1 pictures are missing"):
        photos.oxford_flowers(images, captions)
