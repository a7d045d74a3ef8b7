"""Published CLIPs: outputs of the original code."""

import pytest
import torch

from t2i_course.published.clip import load_clip
from t2i_course.text.clip import VARIANTS, Config, Tower

from .golden import golden

NARROW = Config(48, Tower(128, 2, 2), Tower(128, 2, 2), patch=14, size=56, length=24, words=600)


@torch.no_grad()
@pytest.mark.parametrize("small", [False, True])
def test_it_is_that_of_openai(small, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_l_14", NARROW)
    net, given, out = golden("clip_openai_vit", lambda file: load_clip(file, "vit_l_14"), tmp_path, small)
    pictures, texts = net.picture(given["image"]), net.text(given["tokens"])
    if small:
        torch.testing.assert_close(pictures, out["small_image_features"], atol=1.1e-4, rtol=0)
        torch.testing.assert_close(texts, out["small_text_features"], atol=1e-4, rtol=0)
    else:
        torch.testing.assert_close(pictures, out["image_features"], atol=7.1e-5, rtol=0)
        torch.testing.assert_close(texts, out["text_features"], atol=8.6e-5, rtol=0)
        logits = net.similarity(given["image"], given["tokens"])
        torch.testing.assert_close(logits, out["logits_per_text"], atol=4.9e-5, rtol=0)
