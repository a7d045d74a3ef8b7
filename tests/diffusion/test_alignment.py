"""Alignment of a U-Net's middle with what a network sees."""

from dataclasses import replace

import torch

from t2i_course import worlds
from t2i_course.diffusion import alignment, small
from t2i_course.nn.losses import likeness
from t2i_course.nn.unet import UNet
from t2i_course.nn.world_cnn import Eyes, load_trunk


def tiny():
    """A U-Net whose last layer says something, and its inputs."""
    torch.manual_seed(0)
    net = UNet(replace(small.unet(16, (1,)), dim=16)).eval()
    for p in net.parameters():
        torch.nn.init.normal_(p, 0, 0.1)
    return net, (torch.randn(2, 16, 8, 8), torch.tensor([3, 900]), torch.randn(2, 5, small.DIM))


def test_to_look_at_the_middle_changes_nothing():
    net, inputs = tiny()
    with torch.no_grad():
        prediction, middle = alignment.with_middle(net, *inputs)
        torch.testing.assert_close(prediction, net(*inputs))
        x, t, context = inputs
        torch.testing.assert_close(middle, net.down(x, net.embed(t, context=context), context)[0])


def test_frozen_eyes_see_the_same_and_only_what_they_look_at_learns():
    torch.manual_seed(0)
    eyes, x = alignment.latent_eyes(4), torch.randn(2, 4, 16, 16, requires_grad=True)
    seen = alignment.frozen(eyes, x)
    assert seen.shape == (2, 192, 8, 8)
    torch.testing.assert_close(seen, eyes(x))
    seen.sum().backward()
    assert x.grad.any()
    assert all(p.grad is None for p in eyes.parameters())


def test_the_head_says_something_for_each_place_that_is_seen():
    (batch,) = worlds.load("flowers").batches("val", 128, 2, n=2, shuffle=False)
    seen = Eyes().encode(batch.pictures)
    small_pictures = torch.nn.functional.avg_pool2d(batch.pictures, 2)
    torch.testing.assert_close(seen, load_trunk()(small_pictures)[1])
    said = alignment.head(96)(torch.randn(2, 96, 4, 4))
    assert said.shape == seen.shape == (2, 192, 8, 8)


def test_likeness_is_one_for_the_same_and_grows_by_learning():
    net, inputs = tiny()
    seen = torch.randn(2, 192, 8, 8)
    assert likeness(3 * seen, seen).item() == 1
    assert likeness(-seen, seen).item() == -1
    head = alignment.head(16)
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], 0.01)
    found = []
    for _ in range(30):
        optimiser.zero_grad()
        found.append(likeness(head(alignment.with_middle(net, *inputs)[1]), seen))
        (-found[-1]).backward()
        optimiser.step()
    assert found[-1] > found[0] + 0.2  # the U-Net is taught, not only the head:
    assert net.middle[0].conv1.weight.grad.any()
    assert net.last[-1].weight.grad is None
