"""Latent diffusion: drawing, editing and repainting, and what is said of bad input."""

import copy

import numpy as np
import pytest
import torch

from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.codec.autoencoder import Config as AutoencoderConfig
from t2i_course.diffusion.latent_diffusion import SAMPLERS, LatentDiffusion, Reader
from t2i_course.diffusion.process import Process, cosine, scaled_linear
from t2i_course.nn.unet import Config, UNet
from t2i_course.worlds.base import to_float


def read(captions):
    """Each caption's own context."""
    rows = [torch.randn(3, 8, generator=torch.Generator().manual_seed(len(c))) for c in captions]
    return torch.stack(rows)


@pytest.fixture(scope="module")
def system():
    torch.manual_seed(0)
    unet = UNet(Config(32, (1, 2), 1, (0, 1), 4, 4, heads=4, context_dim=8, scale_shift=False, resample="conv"))
    for p in unet.parameters():
        if not p.any():
            torch.nn.init.normal_(p, 0, 0.1)
    codec = Autoencoder(AutoencoderConfig(4, (1, 2), dim=32, blocks=1))
    return LatentDiffusion(read, unet, codec, Process(scaled_linear()), 0.5, size=16)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pictures_follow_from_caption_and_seed_alone(system, sampler):
    both = system.draw(["a bird", "a red flower"], 3, steps=4, sampler=sampler)
    assert both.shape == (2, 3, 16, 16)
    assert both.abs().max() <= 1
    torch.testing.assert_close(system.draw(["a bird"], 3, steps=4, sampler=sampler), both[:1], atol=1e-4, rtol=1e-4)
    for captions, seed in ((["a bird", "birds"], 3), (["a bird", "a red flower"], 4)):
        other = system.draw(captions, seed, steps=4, sampler=sampler)
        assert (other - both)[1].abs().max() > 1e-2


def test_frames_end_with_the_picture(system):
    frames = list(system.frames(["a bird"], steps=5, every=2))
    assert len(frames) == 3
    torch.testing.assert_close(frames[-1], system.draw(["a bird"], steps=5))


def test_between_two_frames_gradients_are_on(system):
    frames = system.frames(["a bird"], steps=2)
    next(frames)
    assert torch.is_grad_enabled()


def test_pictures_of_other_sizes(system):
    assert system.draw(["a bird"], steps=2, size=(16, 32)).shape == (1, 3, 16, 32)
    with pytest.raises(ValueError, match="multiples of 4"):
        system.draw(["a bird"], steps=2, size=18)


def test_editing_starts_from_the_picture_in_so_much_noise(system, monkeypatch):
    """The last `strength` of the timesteps are asked about, the first of them about the noisy picture."""
    picture, asked = system.draw(["a bird"], 1, steps=4), []
    forward = system.unet.forward
    monkeypatch.setattr(system.unet, "forward", lambda x, t, c: (asked.append((x, t)), forward(x, t, c))[1])
    system.edit(picture, ["birds"], 2, strength=0.35, steps=20, guidance_scale=1)
    ts = system.timesteps(20, "ddim")[-7:]
    assert [int(t[0]) for _, t in asked] == ts
    noisy = system.process.add_noise(system.encode(picture), ts[0], system._noise(1, 2, None))
    torch.testing.assert_close(asked[0][0], noisy)
    with pytest.raises(ValueError, match=r"strength=1\.5: it is above 0 and at most 1"):
        system.edit(picture, ["birds"], strength=1.5)


def test_half_of_the_way_is_half_of_it_where_timesteps_would_be_visited_twice(system, monkeypatch):
    monkeypatch.setattr(system, "until", 900)
    asked, forward = [], system.unet.forward
    monkeypatch.setattr(system.unet, "forward", lambda x, t, c: (asked.append(int(t[0])), forward(x, t, c))[1])
    ts = system.timesteps(300, "ddim")
    assert len(ts) == 100  # from 999 to 900, none twice
    system.edit(torch.zeros(1, 3, 16, 16), ["birds"], strength=0.5, steps=300, guidance_scale=1)
    assert asked == ts[50:]


def test_drawing_starts_where_all_is_noise(system):
    for sampler in SAMPLERS:
        assert system.timesteps(4, sampler)[0] == (750 if sampler in ("plms", "heun") else 999)
        assert system.timesteps(4, sampler)[-1] == 0
    released = copy.copy(system)
    released.released = True
    assert released.timesteps(4, "ddim") == [751, 501, 251, 1]  # as CompVis and diffusers have it


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_sampler_makes_much_of_small_differences_where_nothing_is_left(system, monkeypatch, sampler):
    """At the end of a cosine sqrt(alpha_bar) is .00005: what is divided by it must not be a difference of guesses."""
    monkeypatch.setattr(system, "process", Process(cosine(), "x0"))
    monkeypatch.setattr(system.unet, "forward", lambda x, t, c: 0.1 * torch.tanh(x) + t.view(-1, 1, 1, 1) / 1e4)
    way = [z for z, _ in system.latents(["a bird"], steps=6, sampler=sampler)]
    assert max(z.abs().max() for z in way) < 5  # noise at most
    assert way[-1].abs().max() < 1


def test_a_hole_of_one_pixel_is_drawn_anew(system):
    picture, mask = torch.full((1, 3, 16, 16), 0.3), torch.zeros(1, 1, 16, 16)
    mask[..., 7, 9] = 1
    painted = system.inpaint(picture, mask, ["a red flower"], steps=3)
    changed = (painted != picture).any(1)[0]
    assert changed.nonzero().tolist() == [[7, 9]]
    other = system.inpaint(picture, mask, ["birds in the snow"], steps=3, guidance_scale=8)
    assert (other - painted).abs().max() > 1e-3  # it is drawn, and not what the autoencoder makes of the rest


def test_what_the_mask_leaves_out_stays_as_it_is(system, monkeypatch):
    """At every step the U-Net is asked about the known part with as much noise as belongs to that step."""
    picture, mask, asked = system.draw(["a bird"], 1, steps=4), torch.zeros(1, 1, 16, 16), []
    mask[..., 8:] = 1
    unet = system.unet.forward
    monkeypatch.setattr(
        system.unet, "forward", lambda x, t, c: (asked.append((x.clone(), int(t[0]))), unet(x, t, c))[1]
    )
    painted = system.inpaint(picture, mask, ["a red flower"], 5, steps=6, guidance_scale=1)
    known, eps = system.encode(picture), system._noise(1, 5, None)
    assert len(asked) == 6
    for x, t in asked[1:]:
        expected = system.process.add_noise(known, t, eps)
        torch.testing.assert_close(x[..., :4], expected[..., :4])
        assert not torch.allclose(x[..., 4:], expected[..., 4:], atol=0.01)
    assert torch.equal(painted[..., :8], picture[..., :8])
    with pytest.raises(ValueError, match="inpaint takes no strength"):
        system.inpaint(picture, mask, ["a red flower"], strength=0.5)
    with pytest.raises(ValueError, match=r"The mask is \(1, 1, 16, 16\), not \(1, 16, 16\)"):
        system.inpaint(picture, mask[0], ["a red flower"])
    with pytest.raises(ValueError, match="2 captions need as many pictures, contexts or latents, not 1"):
        system.edit(picture, ["a bird", "birds"])
    with pytest.raises(ValueError, match="2 captions need as many pictures, not 1"):
        system.inpaint(picture, mask, ["a bird", "birds"])
    with pytest.raises(ValueError, match=r"floating point, \(B, 3, H, W\) in \[-1, 1\], not torch.uint8"):
        system.edit(picture.byte(), ["a bird"])


def test_networks_in_half_precision_draw_nearly_the_same(system):
    half = copy.deepcopy(system)
    half.unet.half(), half.autoencoder.half()
    half.read = lambda captions: read(captions).half()
    picture = system.draw(["a bird"], 3, steps=6)
    torch.testing.assert_close(half.draw(["a bird"], 3, steps=6), picture, atol=0.05, rtol=0)
    edited = half.edit(picture, ["birds"], steps=4)
    assert edited.dtype == torch.float32
    assert half.inpaint(picture, torch.ones(1, 1, 16, 16), ["birds"], steps=2).isfinite().all()


def test_without_a_null_caption_there_is_one_question_a_step(system, monkeypatch):
    sizes = []
    forward = system.unet.forward
    monkeypatch.setattr(system.unet, "forward", lambda x, *a: (sizes.append(len(x)), forward(x, *a))[1])
    system.draw(["a bird"], steps=2, guidance_scale=1)
    system.draw(["a bird"], steps=2)
    assert sizes == [1, 1, 2, 2]


def test_clear_errors(system):
    for wrong in ("a bird", [], 5, None, [None], ["a bird", 5]):
        with pytest.raises(ValueError, match="captions is a list of at least one text"):
            system.draw(wrong)
    with pytest.raises(ValueError, match=r"seed=1\.5"):
        system.draw(["a bird"], seed=1.5)
    with pytest.raises(ValueError, match="every=0: it is at least 1"):
        next(system.frames(["a bird"], every=0))
    with pytest.raises(ValueError, match="There is no sampler 'magic'. There are: ddim, plms"):
        system.draw(["a bird"], sampler="magic")
    for steps in (2000, 2.5):
        with pytest.raises(ValueError, match=f"steps={steps}: this process has from 1 to 1000"):
            system.draw(["a bird"], steps=steps)
    for size in (0, -16, "abc", (16, 16, 16), 20.5, (16, 17)):
        with pytest.raises(ValueError, match=r"size=.*: height and width must be multiples of \d"):
            system.draw(["a bird"], size=size)
    with pytest.raises(ValueError, match="guidance_scale='much': it is a number"):
        system.draw(["a bird"], guidance_scale="much")
    with pytest.raises(ValueError, match="1 captions need as many pictures, contexts or latents, not 2"):
        system.draw(["a bird"], context=read(["a", "b"]))
    with pytest.raises(ValueError, match="1 captions need as many pictures, contexts or latents, not 2"):
        system.draw(["a bird"], z=torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match="n=0: at least one picture"):
        system.between("a bird", "birds", 0)
    with pytest.raises(ValueError, match="edit takes no size: the picture says it"):
        system.edit(torch.zeros(1, 3, 16, 16), ["a bird"], size=32)


def test_pictures_may_be_arrays_of_bytes(system):
    data = np.random.default_rng(0).integers(0, 256, (1, 16, 32, 3), dtype=np.uint8)
    same = to_float(data)
    mask = torch.zeros(1, 1, 16, 32)
    mask[..., :16] = 1
    assert torch.equal(system.edit(data, ["a bird"], steps=2), system.edit(same, ["a bird"], steps=2))
    assert torch.equal(system.inpaint(data, mask, ["a bird"], steps=2), system.inpaint(same, mask, ["a bird"], steps=2))


def test_between_two_captions_and_seeds(system):
    """It begins and ends where drawing does; on the way the noise keeps its strength."""
    options = {"steps": 4, "guidance_scale": 2.0}
    way = system.between("a bird", "a red flower", 3, (3, 5), **options)
    assert way.shape == (3, 3, 16, 16)
    for picture, caption, seed in ((way[0], "a bird", 3), (way[2], "a red flower", 5)):
        torch.testing.assert_close(picture, system.draw([caption], seed, **options)[0], atol=1e-4, rtol=1e-4)
    assert min((way[1] - way[k]).abs().max() for k in (0, 2)) > 1e-2


def test_words_count_more(system):
    tokens_of = lambda captions: torch.tensor([([ord(c) for c in text] + [0] * 20)[:20] for text in captions])  # noqa: E731
    net = torch.nn.Sequential(torch.nn.Embedding(128, 8))
    reader = Reader(net, tokens_of)
    assert not reader(["a red bird"]).requires_grad
    assert reader.plain(["a red bird"]).requires_grad
    torch.testing.assert_close(reader(["a (red:1.0) bird"]), reader(["a red bird"]))
    louder, plain, null = (reader([text])[0] for text in ("a (red:2) bird", "a red bird", ""))
    torch.testing.assert_close(louder[2:5], null[2:5] + 2 * (plain - null)[2:5])
    assert torch.equal(louder[5:], plain[5:])


def test_a_drawing_may_end_before_the_noise_is_gone(system, monkeypatch):
    """Of the guess at `until` the picture is made, whatever the sampler; the way there has as many steps."""
    whole = {sampler: system.timesteps(10, sampler) for sampler in SAMPLERS}
    monkeypatch.setattr(system, "until", 300)
    for sampler, ts in whole.items():
        part = system.timesteps(10, sampler)
        assert len(part) == len(ts)
        assert min(part) >= 300 > min(ts)
        assert part == sorted(part, reverse=True)
        *_, (z, guess) = system.latents(["a red flower"], steps=10, sampler=sampler)
        torch.testing.assert_close(z, guess, atol=1e-4, rtol=1e-4)
    many = system.timesteps(1000, "dpm_solver")
    assert len(many) == len(set(many)) <= 700
