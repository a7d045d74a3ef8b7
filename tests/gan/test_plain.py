"""The generators of StackGAN and AttnGAN against plain stacks of torch's own modules with the same weights."""

from dataclasses import replace

import pytest
import torch

from t2i_course.gan import attngan, stackgan

from .plain import ours_and_plain

CONFIGS = {
    "StackGAN, as published but narrow": replace(stackgan.VARIANTS["full"], generator_width=16),
    "StackGAN, small": stackgan.VARIANTS["small"],
    "AttnGAN, as published but narrow": replace(attngan.VARIANTS["bird"], generator_width=8),
    "AttnGAN, small": attngan.VARIANTS["small"],
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_generator_is_a_plain_stack_of_torchs_modules(name):
    torch.manual_seed(0)
    ours, plain = ours_and_plain(CONFIGS[name], 2)
    with torch.inference_mode():
        pictures = ours()
        torch.testing.assert_close(plain(), pictures, atol=1e-5, rtol=1e-4)
    assert pictures.std() > 0.01
