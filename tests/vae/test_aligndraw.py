"""alignDRAW: published sizes, filter banks, alignment, and the bound against a slow restatement."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from t2i_course.vae import aligndraw
from t2i_course.vae.aligndraw import VARIANTS, AlignDRAW, Config, Drawer, filter_bank, gaussian_kl
from t2i_course.worlds import UnknownWord
from tests.shipped import accuracy_and_chance

TINY = Config(11, size=8, channels=2, steps=3, window=4, latent=3, hidden=6, language=4, align=5)


@pytest.mark.parametrize(("variant", "parameters"), [("full", 33_098_147), ("mnist", 2_371_746)])
def test_published_sizes(variant, parameters):
    with torch.device("meta"):
        model = AlignDRAW(VARIANTS[variant])
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("size", "window", "first", "step"), [(32, 9, -0.9375, 3.875), (60, 8, -7.42857, 8.42857)], ids=["coco", "mnist"]
)
def test_filters_lie_where_the_released_code_puts_them(size, window, first, step):
    f_x, f_y, gamma = filter_bank(torch.zeros(1, 5), size, window)
    assert torch.equal(f_x, f_y)
    assert gamma.item() == 1
    inner = [n for n in range(window) if 2 < first + n * step < size - 3]  # whole bells, not cut by the border
    centres = (f_x[0] @ torch.arange(size).float())[inner]
    torch.testing.assert_close(centres, torch.tensor([first + n * step for n in inner]), atol=0.05, rtol=0)
    torch.testing.assert_close(f_x[0, inner].sum(1), torch.ones(len(inner)), atol=1e-3, rtol=0)


def test_filters_move_zoom_and_blur():
    head = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0], [0.5, -0.5, -1.0, 1.0, 2.0]])
    f_x, f_y, gamma = filter_bank(head, 32, 9)
    pixels = torch.arange(32).float()
    mean_x, mean_y = ((f[:, 4] @ pixels) for f in (f_x, f_y))
    assert mean_x[1] > mean_x[0] > mean_y[1]
    spread = [(f_x[i, 5] @ pixels - f_x[i, 4] @ pixels).item() for i in range(2)]
    assert spread[1] == pytest.approx(spread[0] / math.e, rel=0.01)
    assert gamma[1].item() == pytest.approx(math.exp(2))


def test_writing_is_the_transpose_of_reading(monkeypatch):
    """<read(x), w> = <x, write(w)> for windows in the same place: what is read there is what can be written there."""
    torch.manual_seed(0)
    model = AlignDRAW(TINY)
    model.write_head.load_state_dict(model.read_head.state_dict())
    h, x = torch.randn(2, 6), torch.randn(2, 8, 2, 8)  # by rows
    w = torch.randn(2, 2 * 4 * 4)
    monkeypatch.setattr(model.write_window, "forward", lambda h: w)
    gamma = filter_bank(model.read_head(h), 8, 4)[2].flatten()
    read = model.read(x, torch.zeros_like(x), h).view(2, 4, 4, 4)[:, :, :2].flatten(1)  # of the picture's two planes
    torch.testing.assert_close((read * w).sum(1) / gamma, (x * model.write(h)).flatten(1).sum(1) * gamma)


def restated_loss(model, x, captions, eps):
    """The bound of one picture after the other, in numpy, from the equations."""
    w = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    c = model.config

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    def linear(name, v):
        return w[f"{name}.weight"] @ v + w.get(f"{name}.bias", 0)

    def update(gates, cell):
        i, f, g, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(cell), cell

    def read_words(direction, numbers):
        h, cell, states = w["words.start"], np.zeros(c.language), []
        for number in numbers:
            gates = w[f"words.from_word.{direction}.weight"][number] + linear(f"words.from_state.{direction}", h)
            h, cell = update(gates, cell)
            states.append(h)
        return states

    def filters(head):
        n, a = np.arange(c.window), np.arange(c.size)
        stride = (c.size - 1) / (c.window - 1) * np.exp(head[2])
        banks = []
        for centre in head[:2]:
            mu = (c.size + 1) / 2 * (centre + 1) + (n - c.window // 2 - 0.5) * stride
            f = np.exp(-((a - mu[:, None]) ** 2) / (2 * np.exp(head[3])))
            banks.append(f / (f.sum(1, keepdims=True) + 1e-4))
        return *banks, np.exp(head[4])

    totals = []
    for picture, numbers, noise in zip(x.double().numpy(), captions, eps.double().numpy(), strict=True):
        forwards, backwards = read_words(0, numbers), read_words(1, numbers[::-1])[::-1]
        words = [np.concatenate(both) for both in zip(forwards, backwards, strict=True)]
        h_enc, h_dec, canvas = w["h_enc"], w["h_dec"], w["canvas"]
        c_enc = c_dec = np.zeros(c.hidden)
        mu_p = log_p = np.zeros(c.latent)
        kl = 0.0
        for noise_t in noise:
            scores = [
                linear("align.score", np.tanh(linear("align.of_words", v) + linear("align.of_state", h_dec)))[0]
                for v in words
            ]
            alpha = np.exp(scores) / np.exp(scores).sum()
            s = sum(a * v for a, v in zip(alpha, words, strict=True))
            f_x, f_y, gamma = filters(linear("read_head", h_dec))
            planes = [*picture, *(picture - sigmoid(canvas))]
            r = gamma * np.stack([f_y @ plane @ f_x.T for plane in planes], 1)  # (N, 2C, N), as the rows of the network
            h_enc, c_enc = update(linear("encoder.gates", np.concatenate([r.ravel(), h_dec, h_enc])), c_enc)
            mu, log_s = np.split(linear("posterior", h_enc), 2)
            log_s = log_s / 2
            kl += (
                0.5 * (-1 + ((mu - mu_p) ** 2 + np.exp(log_s) ** 2) / np.exp(log_p) ** 2 - 2 * log_s + 2 * log_p).sum()
            )
            z = mu + np.exp(log_s) * noise_t
            h_dec, c_dec = update(linear("decoder.gates", np.concatenate([z, s, h_dec])), c_dec)
            f_x, f_y, gamma = filters(linear("write_head", h_dec))
            patch = linear("write_window", h_dec).reshape(c.window, c.channels, c.window)
            canvas = canvas + np.stack([f_y.T @ patch[:, plane] @ f_x for plane in range(c.channels)]) / gamma
            mu_p, log_p = np.split(np.tanh(linear("prior", h_dec)), 2)
        p = sigmoid(canvas)
        totals.append((-(picture * np.log(p) + (1 - picture) * np.log(1 - p)).sum(), kl))
    return np.mean(totals, 0)


def test_the_bound_is_that_of_the_equations(monkeypatch):
    torch.manual_seed(0)
    model = AlignDRAW(TINY).double()
    for p in model.parameters():
        torch.nn.init.normal_(p, 0, 0.5)
    x, eps = torch.rand(2, 2, 8, 8, dtype=torch.double), torch.randn(2, 3, 3, dtype=torch.double)
    captions = [[3, 1, 7, 2], [5, 9]]
    tokens, lengths = torch.tensor([captions[0], [*captions[1], 0, 0]]), torch.tensor([4, 2])
    monkeypatch.setattr(torch, "randn", lambda *shape, device: eps)
    terms = model.losses(x, tokens, lengths)
    reconstruction, kl = restated_loss(model, x, captions, eps)
    assert terms["reconstruction"].item() == pytest.approx(reconstruction)
    assert terms["kl"].item() == pytest.approx(kl)
    assert terms["loss"].item() == pytest.approx(reconstruction + kl)


def test_kl_is_that_of_torch():
    torch.manual_seed(0)
    mu, log_s, mu_p, log_p = torch.randn(4, 5, 3)
    q, p = (torch.distributions.Normal(m, s.exp()) for m, s in ((mu, log_s), (mu_p, log_p)))
    torch.testing.assert_close(gaussian_kl(mu, log_s, mu_p, log_p), torch.distributions.kl_divergence(q, p).sum(1))
    assert torch.equal(gaussian_kl(mu, log_s, mu, log_s), torch.zeros(5))


def test_padding_changes_nothing_and_every_weight_learns():
    torch.manual_seed(0)
    model = AlignDRAW(TINY)
    for p in model.parameters():
        torch.nn.init.normal_(p, 0, 0.5)
    eps, lengths = torch.randn(1, 3, 3), torch.tensor([3])
    short, padded = torch.tensor([[4, 2, 9]]), torch.tensor([[4, 2, 9, 0, 0]])
    for (a, alpha, _), (b, alpha_padded, _) in zip(
        model.steps(short, lengths, eps), model.steps(padded, lengths, eps), strict=True
    ):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(alpha_padded[:, :3], alpha)
        assert alpha_padded[:, 3:].abs().max() == 0
    model.losses(torch.rand(1, 2, 8, 8), padded, lengths)["loss"].backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.slow
def test_one_training_step_at_full_size():
    torch.manual_seed(0)
    model = AlignDRAW(VARIANTS["full"])
    optimiser = torch.optim.RMSprop(model.parameters(), 1e-3)
    tokens, lengths = torch.randint(1, 25_323, (2, 9)), torch.tensor([9, 7])
    x, before = torch.rand(2, 3, 32, 32), model.write_window.weight.detach().clone()
    loss = model.losses(x, tokens, lengths)["loss"]
    loss.backward()
    optimiser.step()
    assert 0.6 < loss.item() / (3072 * math.log(2)) < 1.4  # an empty canvas costs one bit for each number
    assert not torch.equal(model.write_window.weight, before)


def test_the_shipped_model_draws_step_by_step():
    system = Drawer.load()
    captions = ["this small bird has a red breast", "a flower with five white petals"]
    frames = list(system.frames(captions, seed=3))
    assert len(frames) == system.model.config.steps
    assert frames[-1].shape == (2, 3, 32, 32)
    assert torch.equal(system.draw(captions, seed=3), frames[-1])
    torch.testing.assert_close(system.draw(captions[:1], seed=3), frames[-1][:1], atol=1e-4, rtol=1e-4)
    looks = system.explain(captions, seed=3)
    assert looks["words"][1] == ["a", "flower", "with", "five", "white", "petals"]
    assert looks["attention"].shape == (2, len(frames), 7)
    torch.testing.assert_close(looks["attention"].sum(2), torch.ones(2, len(frames)))


@pytest.mark.parametrize(("world", "ahead"), [("flowers", 0.03), ("birds", 0.14)])
def test_the_shipped_model_draws_more_of_its_captions_than_chance(world, ahead):
    """Measured: .345 against .252, and .374 against .163. The bars are two and a half standard errors below."""
    right, chance = accuracy_and_chance(Drawer.load().draw, world, 96)
    assert right > chance + ahead


def test_clear_errors(tmp_path):
    system = Drawer(AlignDRAW(aligndraw.small_config()), aligndraw.vocabulary(*aligndraw.WORLDS))
    with pytest.raises(UnknownWord, match="'elephant'"):
        system.draw(["an elephant"])
    for wrong in ("a red flower", 5):
        with pytest.raises(ValueError, match="put your text into brackets"):
            system.draw(wrong)
    for seed in (-1, 1.5):
        with pytest.raises(ValueError, match=f"seed={seed}"):
            system.draw(["a red flower"], seed=seed)
    with pytest.raises(ValueError, match="window=1: a window has at least two filters"):
        filter_bank(torch.zeros(1, 5), 32, 1)
    with pytest.raises(ValueError, match="no variant"):
        Drawer.load("huge")
    with pytest.raises(ValueError, match="files of Theano"):
        Drawer.load("full")
    with pytest.raises(ValueError, match=r"aligndraw 'full' knows [\d,]+ words, not 2"):
        Drawer.load("full", tmp_path / "full.safetensors", ["red", "flower"])
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors holds the weights of another network"):
        Drawer.load("small", tmp_path / "other.safetensors")
