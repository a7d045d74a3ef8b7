"""What the GANs share: how pairs are judged, and the KL term."""

import pytest
import torch
from torch import nn

from t2i_course.gan.parts import (
    LOGIT_SCALE,
    Discriminator,
    among_others,
    judged_together,
    matching,
    matching_loss,
    packs_of,
    packs_should_be,
    should_be,
    told_apart,
    with_matching,
)
from t2i_course.nn.losses import kl_to_standard_normal
from t2i_course.worlds import load, mixed_batches


def test_wrong_pairs_are_true_pictures_with_the_captions_of_neighbours():
    torch.manual_seed(0)
    seen, text, drawn = torch.randn(4, 3), torch.randn(4, 3), (torch.randn(6, 3), torch.randn(6, 3))

    def judge(seen, text):
        return (seen * text).sum(1)

    real, wrong, fake = judged_together(judge, seen, text, drawn, wrongs=2)
    torch.testing.assert_close(real, judge(seen, text))
    torch.testing.assert_close(wrong, torch.cat([judge(seen.roll(1, 0), text), judge(seen.roll(2, 0), text)]))
    torch.testing.assert_close(fake, judge(*drawn))
    with pytest.raises(ValueError, match="A batch of 4 has no 4 wrong captions"):
        judged_together(judge, seen, text, wrongs=4)
    (alone,) = judged_together(judge, seen, text, wrongs=0)
    torch.testing.assert_close(alone, real)


def test_batch_norm_gives_away_batches_of_one_kind_but_not_a_mixed_one():
    """A linear layer and batch norm, the first layers of every published comparison of picture and text.

    Take a judge that adds up one number of the picture and one of the text. In a batch of true pairs the two agree, so
    their sum varies much; in one of wrong pairs it varies little. Batch norm divides by just that, so a pair's size
    afterwards tells from which batch it came, whatever the pair itself says.
    """
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(1, affine=False)
    seen = torch.randn(512, 1)
    text = seen.clone()
    right = norm(seen + text) / (seen + text)  # what batch norm multiplied with
    wrong = norm(seen.roll(1, 0) + text) / (seen.roll(1, 0) + text)
    assert wrong.median() > 1.3 * right.median()
    real, wrong = judged_together(lambda s, t: (norm(s + t) / (s + t)).flatten(), seen, text)
    assert wrong.median() == pytest.approx(real.median().item(), rel=0.1)


@pytest.mark.parametrize(("size", "layers"), [(32, 4), (64, 4), (128, 6), (256, 8)])
def test_a_discriminator_sees_4x4_features_in_pictures_of_its_size(size, layers):
    d = Discriminator(size, width=4, text_dim=5)
    assert sum(isinstance(layer, nn.Conv2d) for layer in d.look) == layers
    seen = d.look(torch.randn(2, 3, size, size))
    assert seen.shape == (2, 32, 4, 4)
    assert d.judge(seen, torch.randn(2, 5)).shape == d.judge_alone(seen).shape == (2,)


def test_matching_asks_each_picture_for_its_caption_and_each_caption_for_its_picture():
    torch.manual_seed(0)
    match, seen, text = nn.Linear(8, 5), torch.randn(4, 2, 2, 2), torch.randn(4, 5)
    pictures = match(seen.reshape(4, 8)).detach()
    cosines = torch.tensor([[torch.cosine_similarity(p, t, dim=0) for p in pictures] for t in text])
    p_picture, p_caption = ((LOGIT_SCALE * cosines).softmax(dim) for dim in (1, 0))
    expected = -(p_picture.diagonal().log().mean() + p_caption.diagonal().log().mean())
    torch.testing.assert_close(matching(match, seen, text), expected)
    found = matching(nn.Identity(), text[:, :, None, None], text)
    assert found < matching(nn.Identity(), text.roll(1, 0)[:, :, None, None], text) - 1


def test_pairs_that_also_fit_are_neither_right_nor_wrong():
    scores, same = torch.tensor([[2.0, 9.0], [0.0, 1.0]]), torch.tensor([[False, True], [False, False]])
    by_caption, by_picture = torch.tensor([1.0, 0.0]).log_softmax(0)[0], torch.tensor([2.0, 0.0]).log_softmax(0)[0]
    assert matching_loss(scores, same).item() == pytest.approx(-(by_caption + by_picture).item() / 2)


def test_a_picture_must_find_its_caption_among_those_of_other_pictures_too():
    """Captions after the first ones are candidates for pictures; no picture is a candidate for them."""
    torch.manual_seed(0)
    scores, same = torch.randn(5, 2), torch.zeros(5, 2, dtype=torch.bool)
    same[4, 1] = True
    by_caption = scores[:2].log_softmax(1).diagonal()
    by_picture = scores[:, 0].log_softmax(0)[0], scores[:4, 1].log_softmax(0)[1]
    expected = -(by_caption.sum() + sum(by_picture)) / 2
    torch.testing.assert_close(matching_loss(scores, same), expected)
    match, seen, text = nn.Linear(8, 5), torch.randn(2, 2, 2, 2), torch.randn(5, 5)
    assert matching(match, seen, text, same) > matching(match, seen, text[:2])


def test_captions_of_other_pictures_come_from_all_worlds_and_it_is_known_what_they_fit():
    names = ["flowers", "birds"]
    batch = next(mixed_batches(names, "val", 64, 4, n=4))
    torch.manual_seed(0)
    captions, same = among_others(batch, names, 60)
    assert captions[:4] == batch.captions
    own = torch.eye(4, dtype=torch.bool)
    assert torch.equal(same[:4], batch.fits() & ~own)
    captions, fits = captions[4:], same[4:]
    for name, told, fitting in zip(names, (captions[:30], captions[30:]), fits.split(30), strict=True):
        assert len(set(told)) > 20
        for caption, row in zip(told, fitting.tolist(), strict=True):
            facts = load(name).facts(caption).items()
            assert row == [facts <= truth.items() for truth in batch.truth]
    assert 0 < fits.sum() < fits.numel()
    captions, same = among_others(batch, names, 0)
    assert (captions, same.shape) == (batch.captions, (4, 4))


def test_d_is_told_which_captions_are_right_before_anything_is_drawn():
    torch.manual_seed(0)
    d = Discriminator(32, width=4, text_dim=5, matched=5)
    pictures, text = torch.randn(8, 3, 32, 32), torch.randn(8, 5)
    optimiser = torch.optim.Adam(d.parameters(), 1e-3)
    losses = []
    for _ in range(40):
        terms = told_apart(d, pictures, text, text, wrongs=2)
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        losses.append(terms["loss"].item())
    assert losses[-1] < 0.5 * losses[0]
    real, wrong = judged_together(d.judge, d.look(pictures), text, wrongs=2)
    assert real.min() > wrong.max()
    assert all(p.grad is None for p in d.alone.parameters())  # that there are other pictures, it is not told


def test_a_loss_without_matching_is_as_it_was():
    seen, text, loss = torch.randn(2, 32, 4, 4), torch.randn(2, 7), torch.tensor(3.0)
    plain, matches = (Discriminator(64, width=4, text_dim=5, matched=dims) for dims in (0, 7))
    assert with_matching(plain, loss, seen, text, kl=loss) == {"loss": loss, "kl": loss}
    terms = with_matching(matches, loss, seen, text, 2.0, kl=loss)
    torch.testing.assert_close(terms["loss"], loss + 2 * matching(matches.match, seen, text))


def test_kl_is_that_of_torch():
    torch.manual_seed(0)
    mu, logvar = torch.randn(3, 4), torch.randn(3, 4)
    ours, standard = torch.distributions.Normal(mu, (logvar / 2).exp()), torch.distributions.Normal(0, 1)
    expected = torch.distributions.kl_divergence(ours, standard).mean()
    torch.testing.assert_close(kl_to_standard_normal(mu, logvar), expected)
    assert kl_to_standard_normal(torch.zeros(2, 2), torch.zeros(2, 2)) == 0


def test_should_be():
    assert should_be(1.0, torch.tensor([0.0])).item() == pytest.approx(0.6931, abs=1e-4)
    assert should_be(0.0, torch.tensor([-20.0])) < 1e-6 < should_be(1.0, torch.tensor([-20.0]))


def test_a_pack_is_two_pictures_of_a_caption_that_is_true_of_both():
    torch.manual_seed(0)
    batch = next(mixed_batches(("flowers", "birds"), "val", 32, 48, n=100))
    fits = batch.fits().fill_diagonal_(False)
    first, second = packs_of(fits)
    assert len(first) > 5
    assert (first != second).all()
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        assert batch.facts[i].items() <= batch.truth[j].items()
    assert first.tolist() == fits.any(1).nonzero().flatten().tolist()  # each such caption once
    for none in (torch.zeros(2, 2, dtype=torch.bool), None):
        assert [len(numbers) for numbers in packs_of(none)] == [0, 0]


def test_packs_give_a_generator_away_that_draws_one_picture_of_a_caption():
    """Each drawn picture is a true one, so one at a time nothing is wrong with them."""
    torch.manual_seed(0)
    d = Discriminator(32, width=2, text_dim=4, packed=True)
    optimiser = torch.optim.Adam(d.compare_pack.parameters(), 1e-2)
    text = torch.randn(64, 4)
    for _ in range(60):
        seen, again = torch.randn(2, 64, 16, 4, 4)
        loss = packs_should_be(1.0, d, seen, again, text) + packs_should_be(0.0, d, seen, seen, text)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1  # 2 ln 2 by guessing
    more = (seen + 0.5 * torch.randn_like(seen)).requires_grad_(True)
    packs_should_be(1.0, d, seen, more, text).backward()
    farther = (more - 0.1 * more.grad.sign()).detach()
    assert (farther - seen).abs().mean() > (more - seen).abs().mean()  # so they are driven apart
    assert packs_should_be(1.0, d, seen[:0], seen[:0], text[:0]) == 0
