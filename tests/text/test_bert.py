"""The reader of latent diffusion: its published size and names, and the outputs of the original code."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from t2i_course.published.latent_diffusion import convert_bert
from t2i_course.text.bert import BERT, VARIANTS, Config, tokenizer

GOLDEN = Path(__file__).parents[1] / "golden"


def test_every_name_of_the_published_file_has_its_place():
    keys = json.loads(gzip.decompress((GOLDEN / "ldm_text_keys.json.gz").read_bytes()))
    with torch.device("meta"):
        net = BERT(VARIANTS["ldm_text"])
        state = convert_bert({key: torch.empty(shape) for key, shape in keys.items()})
    assert {key: t.shape for key, t in state.items()} == {key: t.shape for key, t in net.state_dict().items()}
    unused = 30_522 * 1280 + 30_522  # the prediction of words, which is in the file
    assert sum(p.numel() for p in net.parameters()) == 581_994_042 - unused


@pytest.mark.parametrize("small", [False, True])
def test_it_reads_as_the_original(small):
    tensors = load_file(GOLDEN / "ldm_text_encoder.safetensors")
    weights = {key.removeprefix("weights/"): t.float() for key, t in tensors.items() if key.startswith("weights/")}
    net, state = BERT(Config(32, 2, 8, 512, length=20, words=500)).eval(), convert_bert(weights)
    if small:  # all but the norms divided by 32: a wrong epsilon would show
        state = {key: t if "norm" in key else t / 32 for key, t in state.items()}
    net.load_state_dict(state)
    with torch.no_grad():
        found = net(tensors["in/tokens"].long())
    torch.testing.assert_close(found, tensors["out/small_context" if small else "out/context"], atol=7e-5, rtol=0)


def test_captions_become_word_pieces(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "flower", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    assert tokenizer(tmp_path / "vocab.txt", len(words), 8)(["A red flowers"]).tolist() == [[2, 5, 6, 7, 8, 3, 0, 0]]
    with pytest.raises(ValueError, match="It must be the vocab.txt of bert-base-uncased"):
        tokenizer(tmp_path / "nowhere.txt", len(words))
    with pytest.raises(ValueError, match="has 9 word pieces, not 30,522"):  # it would fit, and mean something else
        tokenizer(tmp_path / "vocab.txt", 30_522)
