"""CLIP against transformers and open_clip, with the same random weights."""

import pytest
import torch

from t2i_course.published.clip import convert, text_alone
from t2i_course.text.clip import CLIP, Config, TextTower, Tower

from .test_unet import restless

QUICK = Config(48, Tower(64, 2, 1), Tower(128, 3, 2), patch=14, size=56, length=24, words=600)


def inputs():
    torch.manual_seed(1)
    tokens = torch.randint(1, 590, (3, 24))
    tokens[0, 4], tokens[1, 23], tokens[2, 9] = 599, 599, 599
    return torch.randn(3, 3, 56, 56), tokens


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4 * expected.abs().max().item(), rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("quick", [True, False])
def test_transformers(quick):
    from transformers import CLIPConfig, CLIPModel

    act = "quick_gelu" if quick else "gelu"
    config = CLIPConfig(
        text_config={
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "vocab_size": 600,
            "max_position_embeddings": 24,
            "hidden_act": act,
            "eos_token_id": 599,
            "projection_dim": 48,
        },
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "image_size": 56,
            "patch_size": 14,
            "hidden_act": act,
            "projection_dim": 48,
        },
        projection_dim=48,
    )
    theirs = restless(CLIPModel(config))
    net = CLIP(Config(**vars(QUICK) | {"quick": quick})).eval()
    net.load_state_dict(convert(theirs.state_dict()))
    pictures, tokens = inputs()
    out = theirs(input_ids=tokens, pixel_values=pictures, output_hidden_states=True)
    close(net.similarity(pictures, tokens), out.logits_per_text)
    close(net.text.context(tokens), out.text_model_output.last_hidden_state)
    penultimate = theirs.text_model.final_layer_norm(out.text_model_output.hidden_states[-2])
    close(net.text.context(tokens, skip_last=1), penultimate)
    tower = TextTower(net.config).eval()
    tower.project = None
    tower.load_state_dict(text_alone(theirs.state_dict()))
    close(tower.context(tokens), out.text_model_output.last_hidden_state)


@torch.no_grad()
def test_open_clip():
    import open_clip

    theirs = restless(
        open_clip.CLIP(
            48,
            {"layers": 2, "width": 64, "head_width": 64, "patch_size": 14, "image_size": 56},
            {"context_length": 24, "vocab_size": 600, "width": 128, "heads": 2, "layers": 3},
            quick_gelu=True,
        )
    )
    net = CLIP(QUICK).eval()
    net.load_state_dict(convert(theirs.state_dict()))
    pictures, tokens = inputs()
    close(net.picture(pictures), theirs.encode_image(pictures))
    close(net.text(tokens), theirs.encode_text(tokens))
