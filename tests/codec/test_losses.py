"""Losses of autoencoders: the patch discriminator, the hinge, lambda, and who learns from what."""

import pytest
import torch
from torch import nn

from t2i_course.codec.autoencoder import Autoencoder, Config
from t2i_course.codec.losses import PatchDiscriminator, adaptive_weight, feature_head, hinge_loss, losses

KL = Config(3, (1, 2), dim=32, blocks=1, middle_attends=False)
VQ = Config(3, (1, 2), dim=32, blocks=1, middle_attends=False, codes=16)


def looks(x, y):
    """In place of a network that sees."""
    return (x.mean((2, 3)) - y.mean((2, 3))).square().sum(1)


def test_the_discriminator_is_the_published_one():
    d = PatchDiscriminator()
    assert sum(p.numel() for p in d.parameters()) == 2_765_633
    assert d(torch.randn(2, 3, 64, 96)).shape == (2, 1, 6, 10)
    x = torch.randn(1, 3, 128, 128)
    other = x.clone()
    other[..., 80:] += 1  # a patch sees 70 pixels
    d.eval()
    assert torch.equal(d(x)[..., 0], d(other)[..., 0])
    assert not torch.allclose(d(x)[..., -1], d(other)[..., -1])


def test_the_hinge_asks_for_no_more_than_one():
    assert hinge_loss(torch.tensor([1.0, 5.0]), torch.tensor([-1.0, -9.0])) == 0
    assert hinge_loss(torch.tensor([0.0]), torch.tensor([0.5])).item() == pytest.approx(0.5 * (1 + 1.5))


def test_lambda_makes_both_pull_alike():
    torch.manual_seed(0)
    last, x = nn.Linear(4, 3), torch.randn(5, 4)
    strong, weak = 100 * last(x).square().mean(), last(x).mean()
    weight = adaptive_weight(strong, weak, last.weight)
    pulls = [torch.autograd.grad(loss, last.weight, retain_graph=True)[0].norm() for loss in (strong, weight * weak)]
    assert pulls[0].item() == pytest.approx(pulls[1].item(), rel=1e-2)


@pytest.mark.parametrize("config", [KL, VQ], ids=["kl", "vq"])
@pytest.mark.parametrize("adversarial", [True, False])
def test_each_step_reaches_its_own_network(config, adversarial):
    torch.manual_seed(0)
    parts = {"autoencoder": Autoencoder(config)} | ({"discriminator": PatchDiscriminator(4)} if adversarial else {})
    net, x = nn.ModuleDict(parts).train(), torch.rand(2, 3, 32, 32) * 2 - 1
    for part, (name, terms) in zip(parts, losses(net, x, looks), strict=True):
        assert name == part
        net.zero_grad()
        terms["loss"].backward()
        for other in parts:
            given = [p.grad is not None for p in net[other].parameters()]
            assert all(given) if other == part else not any(given)
    assert all(p.requires_grad for p in net.parameters())


def test_d_is_asked_in_such_batches_as_it_learns_from():
    """Half true, half drawn: batch norm would tell a batch of one kind apart by itself."""
    net, seen = nn.ModuleDict({"autoencoder": Autoencoder(KL), "discriminator": PatchDiscriminator(4)}), []
    net["discriminator"].register_forward_pre_hook(lambda d, given: seen.append(given[0]))
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    list(losses(net, x, looks))
    assert [len(batch) for batch in seen] == [4, 4]
    assert all(torch.equal(batch[:2], x) for batch in seen)


@pytest.mark.parametrize("config", [KL, VQ], ids=["kl", "vq"])
def test_it_learns_to_give_pictures_back(config):
    torch.manual_seed(0)
    net, x = nn.ModuleDict({"autoencoder": Autoencoder(config)}), torch.rand(2, 3, 1, 1).expand(-1, -1, 16, 16) * 2 - 1
    optimiser, seen = torch.optim.Adam(net.parameters(), 3e-3), []
    for _ in range(40):
        ((_, terms),) = losses(net, x, looks)
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        seen.append(terms["pixels"].item())
    assert seen[-1] < 0.5 * seen[0]


def test_the_decoder_learns_from_latents_with_noise():
    """More or less of it in each picture, and at most `noise` standard deviations of the latents."""
    torch.manual_seed(0)
    model, given = Autoencoder(KL), []
    model.decoder.register_forward_pre_hook(lambda _, z: given.append(z[0]))
    nn.init.zeros_(model.quant_conv.weight[KL.z :])
    nn.init.constant_(model.quant_conv.bias[KL.z :], -30.0)  # an encoder that is sure
    nn.init.dirac_(model.post_quant_conv.weight)
    nn.init.zeros_(model.post_quant_conv.bias)
    x = torch.rand(16, 3, 32, 32) * 2 - 1
    mean = model.encode(x)
    for noise in (0.0, 0.5):
        list(losses(nn.ModuleDict({"autoencoder": model}), x, looks, noise=noise))
    plain, noisy = ((z - mean).std((1, 2, 3)) / mean.std() for z in given)
    assert plain.max() < 1e-3
    assert 0.25 < noisy.max() < 0.55
    assert noisy.min() < 0.15


def test_latents_must_tell_what_is_seen():
    net = nn.ModuleDict({"autoencoder": Autoencoder(KL), "head": feature_head(KL.z, 5)})
    x, seen, found = torch.rand(2, 3, 32, 32) * 2 - 1, torch.randn(2, 5, 8, 8), []
    for aligned in (0.0, 0.3):
        torch.manual_seed(0)
        ((_, terms),) = losses(net, x, looks, noise=1.0, seen=seen, aligned=aligned)
        found.append(terms)
    assert "likeness" not in found[0]
    torch.testing.assert_close(found[1]["loss"], found[0]["loss"] - 0.3 * found[1]["likeness"])
    found[1]["likeness"].backward()
    assert all(p.grad is not None for p in [*net["head"].parameters(), *net["autoencoder"].encoder.parameters()])
    assert all(p.grad is None for p in net["autoencoder"].decoder.parameters())
