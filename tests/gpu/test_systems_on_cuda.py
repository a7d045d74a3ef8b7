"""The systems of the course on a GPU: a training step of each at full size, Stable Diffusion in little memory."""

import pytest

torch = pytest.importorskip("torch")

from t2i_course.codec.autoencoder import VARIANTS as AUTOENCODERS  # noqa: E402
from t2i_course.codec.autoencoder import Autoencoder  # noqa: E402
from t2i_course.diffusion.latent_diffusion import LatentDiffusion  # noqa: E402
from t2i_course.diffusion.process import Process, scaled_linear  # noqa: E402
from t2i_course.nn.unet import VARIANTS as UNETS  # noqa: E402
from t2i_course.nn.unet import UNet  # noqa: E402
from tests.gan import test_attngan, test_damsm, test_gan_cls, test_stackgan  # noqa: E402
from tests.text import test_char_cnn_rnn  # noqa: E402
from tests.vae import test_aligndraw, test_sharpen  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
STEPS = {
    "alignDRAW": (test_aligndraw,),
    "the sharpener": (test_sharpen,),
    "char-CNN-RNN": (test_char_cnn_rnn,),
    "GAN-INT-CLS": (test_gan_cls, "full"),
    "StackGAN, stage I": (test_stackgan, 1),
    "StackGAN, stage II": (test_stackgan, 2),
    "DAMSM": (test_damsm,),
    "AttnGAN, bird": (test_attngan, "bird"),
    "AttnGAN, coco": (test_attngan, "coco"),
}


@pytest.mark.parametrize("name", STEPS)
def test_one_training_step_at_full_size(name):
    module, *arguments = STEPS[name]
    with torch.device("cuda"):
        module.test_one_training_step_at_full_size(*arguments)


def test_stable_diffusion_draws_512x512_within_10_gigabytes():
    torch.cuda.reset_peak_memory_stats()
    with torch.device("cuda"):
        unet, codec = UNet(UNETS["sd_1"]).half(), Autoencoder(AUTOENCODERS["kl_f8"]).half()
        context = torch.randn(1, 77, 768).half()
    system = LatentDiffusion(lambda captions: context, unet, codec, Process(scaled_linear()), 0.18215, released=True)
    picture = system.draw(["a cat"], steps=3)
    assert picture.is_cuda
    assert picture.shape == (1, 3, 512, 512)
    assert picture.isfinite().all()
    assert torch.cuda.max_memory_allocated() < 10e9


@pytest.mark.parametrize("name", ["ddpm", "ldm", "ldm_clip"])
def test_the_same_picture_is_drawn_on_both_devices(name):
    """Noise is drawn on the CPU, so a seed means the same everywhere."""
    from t2i_course.diffusion import small

    config = small.SMALL[name]
    torch.manual_seed(0)
    net, codec = small.build(config), small.codec_of(config)
    torch.nn.init.normal_(net["unet"].last[-1].weight, 0, 0.02)
    captions = ["a red flower", "a small bird"]
    pictures = [
        small.system(net.to(device), config, codec.to(device)).draw(captions, 3, steps=4).cpu()
        for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(*pictures, atol=2e-2, rtol=0)
