"""char-CNN-RNN: the released networks, their files, and the loss that trains them."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from t2i_course import worlds
from t2i_course.published.char_cnn_rnn import convert
from t2i_course.text.char_cnn_rnn import (
    ALPHABET,
    VARIANTS,
    WORLDS,
    CharCNNRNN,
    Config,
    Recurrence,
    check_words,
    joint_embedding_loss,
    one_hot,
)
from t2i_course.worlds import UnknownWord

GOLDEN = Path(__file__).parents[1] / "golden"
KEYS = json.loads((GOLDEN / "char_cnn_rnn_keys.json").read_text())
TEXTS = ["this small bird has a bright red crown - and a short, pointed beak", "A Yellow flower; 5 petals!"]


@pytest.mark.parametrize(
    ("variant", "parameters"), [("icml_birds", 4_045_184), ("icml_flowers", 2_994_560), ("cvpr", 1_814_144)]
)
def test_published_sizes(variant, parameters):
    with torch.device("meta"):
        model = CharCNNRNN(VARIANTS[variant])
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("variant", KEYS)
def test_every_published_name_has_its_place(variant):
    with torch.device("meta"):
        ours = CharCNNRNN(VARIANTS[variant]).state_dict()
    theirs = convert({name: torch.empty(shape) for name, shape in KEYS[variant].items()})
    assert {name: t.shape for name, t in theirs.items()} == {name: t.shape for name, t in ours.items()}


def golden():
    tensors = load_file(GOLDEN / "char_cnn_rnn_icml_birds.safetensors")
    weights = {name.removeprefix("weights/"): t for name, t in tensors.items() if name.startswith("weights/")}
    return weights, tensors["in/onehot"], tensors["out/embedding"]


def test_letters_are_coded_as_in_the_port():
    """Which reads an unknown letter as a space; the original leaves its place empty."""
    assert torch.equal(one_hot(TEXTS), golden()[1])
    assert one_hot(["-"])[0, :, 0].argmax() == ALPHABET.rindex("-")
    assert torch.equal(one_hot(["É"]), one_hot([" "]))
    assert one_hot(["a" * 500]).sum() == 201


def released(w, letters):
    """The port, restated from its names. From the second step on, its states (B, 1, D) meet inputs (B, D): for more
    than one caption that broadcasts to (B, B, D), and every caption's vector is mixed with the others'."""

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = letters
    for k in (1, 2, 3):
        x = F.threshold(F.conv1d(x, w[f"conv{k}.weight"], w[f"conv{k}.bias"]), 1e-6, 0)
        x = F.max_pool1d(x, 3) if k < 3 else x
    steps = x.permute(2, 0, 1)  # (T, B, D)
    states = [torch.tanh(linear("rnn.i2h", steps[0]))[:, None]]
    for x_t in steps[1:]:
        h = states[-1]
        update = torch.sigmoid(linear("rnn.i2h_update", x_t) + linear("rnn.h2h_update", h))
        reset = torch.sigmoid(linear("rnn.i2h_reset", x_t) + linear("rnn.h2h_reset", h))
        candidate = torch.tanh(linear("rnn.i2h", x_t) + linear("rnn.h2h", reset * h))
        states.append(update * candidate + (1 - update) * h)
    return linear("emb_proj", torch.cat(states, 1).mean(1))


def test_the_released_network_gives_the_released_outputs():
    """The golden outputs are those of two captions at once, so they hold the mixture; ours never mixes captions."""
    weights, letters, embedding = golden()
    weights = {name: t.float() for name, t in weights.items()}
    model = CharCNNRNN(Config((24, 32, 32), dim=40)).eval()
    model.load_state_dict(convert(weights))
    torch.testing.assert_close(released(weights, letters), embedding, atol=2e-5, rtol=0)
    alone = torch.cat([released(weights, one) for one in letters.split(1)])
    torch.testing.assert_close(model(letters), alone, atol=2e-5, rtol=0)


def test_the_gated_unit_is_a_torch_gru_but_for_its_gate_and_its_first_state():
    """torch.nn.GRU weighs the old state with its update gate, and resets after U h: equal where U and reset allow."""
    torch.manual_seed(0)
    ours, theirs = Recurrence(6, gated=True).double(), torch.nn.GRU(6, 6, batch_first=True).double()
    with torch.no_grad():
        update, reset, candidate = ours.from_input.weight.chunk(3)
        update_b, reset_b, candidate_b = ours.from_input.bias.chunk(3)
        ours.from_reset_state.weight.zero_()  # then it does not matter what is reset
        theirs.weight_ih_l0.copy_(torch.cat([reset, -update, candidate]))
        theirs.bias_ih_l0.copy_(torch.cat([reset_b, -update_b, candidate_b]))
        update_u, reset_u = ours.from_state.weight.chunk(2)
        update_ub, reset_ub = ours.from_state.bias.chunk(2)
        theirs.weight_hh_l0.copy_(torch.cat([reset_u, -update_u, torch.zeros(6, 6)]))
        ours.from_reset_state.bias.zero_()
        theirs.bias_hh_l0.copy_(torch.cat([reset_ub, -update_ub, torch.zeros(6)]))
    x = torch.randn(3, 5, 6, dtype=torch.double)
    first = torch.tanh(ours.from_input(x[:, 0]).chunk(3, -1)[2])
    later, _ = theirs(x[:, 1:], first[None])
    torch.testing.assert_close(ours(x), torch.cat([first[:, None], later], 1).mean(1))


def test_loss_is_the_released_mean_over_pairs():
    torch.manual_seed(0)
    v, t = torch.randn(4, 7), torch.randn(4, 7)
    fits = torch.eye(4, dtype=torch.bool)
    fits[0, 2] = True  # caption 0 is also true of picture 2
    terms = [
        max(0, 1 + float(v[j] @ t[i] - v[i] @ t[i])) + max(0, 1 + float(v[j] @ t[i] - v[j] @ t[j]))
        for i in range(4)
        for j in range(4)
        if not fits[i, j]
    ]
    assert joint_embedding_loss(v, t, fits).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert joint_embedding_loss(10 * torch.eye(4), torch.eye(4), torch.eye(4, dtype=torch.bool)) == 0


@pytest.mark.slow
def test_one_training_step_at_full_size():
    """The birds' network and GoogLeNet's 1,024 numbers of each picture, with RMSProp, as released."""
    torch.manual_seed(0)
    model = CharCNNRNN(VARIANTS["icml_birds"]).train()
    optimiser = torch.optim.RMSprop(model.parameters(), 7e-4)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = joint_embedding_loss(torch.randn(2, 1024), model.encode(TEXTS), torch.eye(2, dtype=torch.bool))
    loss.backward()
    optimiser.step()
    assert 0 < loss < 100
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_published_files_are_read_and_others_refused(tmp_path):
    torch.manual_seed(0)
    net, file = CharCNNRNN(VARIANTS["cvpr"]), tmp_path / "cvpr.safetensors"
    names = {"project": "emb_proj", "rnn.from_input": "rnn.i2h", "rnn.from_state": "rnn.h2h"}
    published = {}
    for name, t in net.state_dict().items():
        layer, kind = name.rsplit(".", 1)
        published[f"{names.get(layer, layer)}.{kind}"] = t
    save_file(published, file)
    loaded = CharCNNRNN.load("cvpr", file)
    torch.testing.assert_close(loaded.encode(TEXTS), net.eval().encode(TEXTS))
    for variant, wrong in {"icml_birds": file, "cvpr": tmp_path / "nothing.pth"}.items():
        with pytest.raises(ValueError, match=r"cvpr\.safetensors|nothing\.pth"):
            CharCNNRNN.load(variant, wrong)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        CharCNNRNN.load("cvpr", file)
    with pytest.raises(ValueError, match="give weights=FILE"):
        CharCNNRNN.load("icml_birds")
    with pytest.raises(ValueError, match="no variant"):
        CharCNNRNN.load("large")


def test_the_shipped_encoder_reads_captions_one_by_one_as_in_a_batch():
    encoder = CharCNNRNN.load()
    both = encoder.encode(["a red flower", "this bird is blue"])
    assert both.shape == (2, encoder.dim)
    torch.testing.assert_close(encoder.encode(["this bird is blue"]), both[1:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", WORLDS)
def test_the_shipped_encoder_tells_what_captions_say(name):
    """Nearest to a caption, among second captions of 200 pictures, is one of a picture that it is true of: .36 of all,
    where a network that has learned nothing has .12 of flowers and .06 of birds. (The half that saw pictures in
    training does not ship.)"""
    world, encoder = worlds.load(name), CharCNNRNN.load()
    first, second = ([world.caption("test", i, seed) for i in range(200)] for seed in (0, 1))
    truth = [world.truth(world.spec("test", i)) for i in range(200)]
    asked, others = (F.normalize(encoder.encode([text for text, _ in told]), dim=1) for told in (first, second))
    nearest = (asked @ others.T).argmax(1).tolist()
    right = sum(facts.items() <= truth[k].items() for (_, facts), k in zip(first, nearest, strict=True))
    assert right / 200 > 0.27


def test_what_is_no_caption():
    with pytest.raises(UnknownWord, match="'blurple'"):
        check_words(["a blurple flower"])
    check_words(["a red flower", "this bird has a long bill"])
    for wrong in ("a red flower", [], 5, ["a red flower", 5]):
        with pytest.raises(ValueError, match="list"):
            CharCNNRNN(VARIANTS["small"]).encode(wrong)
