"""Noise that belongs to a picture, not to a batch."""

import numpy as np
import pytest
import torch

from t2i_course.nn.noise import noise, slerp


def test_rows_do_not_depend_on_the_batch():
    assert torch.equal(noise(3, 5, 7)[:2], noise(3, 2, 7))
    assert not torch.equal(noise(3, 2, 7)[0], noise(3, 2, 7)[1])
    assert not torch.equal(noise(3, 1, 7), noise(4, 1, 7))


def test_it_is_standard_normal_and_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    z = noise(0, 400, 50)
    assert torch.equal(torch.get_rng_state(), before)
    assert z.mean().abs() < 0.02
    assert (z.std() - 1).abs() < 0.02
    assert abs(torch.corrcoef(z[:2])[0, 1]) < 0.4


def test_a_seed_is_a_whole_number_from_0_on():
    for wrong in (-1, 1.5, "1", None):
        with pytest.raises(ValueError, match=f"seed={wrong!r}: a seed is a whole number"):
            noise(wrong, 1, 2)
    assert torch.equal(noise(np.int64(3), 1, 2), noise(3, 1, 2))


def test_on_the_arc_noise_stays_as_loud():
    a, b = noise(0, 2, 4, 32, 32)
    for way, expected in ((0.0, a), (1.0, b)):
        torch.testing.assert_close(slerp(a, b, way), expected)
    assert slerp(a, b, 0.5).std().item() == pytest.approx(1, abs=0.03)
    assert torch.lerp(a, b, 0.5).std() < 0.75
    torch.testing.assert_close(slerp(a, a, 0.3), a)
