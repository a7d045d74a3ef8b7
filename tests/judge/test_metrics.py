"""The metrics against closed forms, direct computations, and torchmetrics itself."""

import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from t2i_course.judge import metrics
from t2i_course.judge.metrics import (
    clip_captions,
    clip_embeddings,
    clip_extractor,
    clip_pictures,
    clip_score,
    cmmd,
    fid,
    inception_extractor,
    inception_score,
    kid,
    load_inception,
    lpips,
    psnr,
    ssim,
    world_extractor,
)


def exact_gaussian(n, mean, std, seed):
    """Samples whose mean and (diagonal) covariance are exactly these, so that closed forms hold to the last digit."""
    x = torch.randn(n, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return x * torch.tensor(std) + torch.tensor(mean)


def test_fid_of_gaussians_is_the_closed_form():
    a = exact_gaussian(400, [0.0, 1.0, 2.0], [1.0, 2.0, 0.5], seed=0)
    b = exact_gaussian(300, [1.0, 1.0, 0.0], [2.0, 2.0, 1.5], seed=1)
    assert fid(a, b) == pytest.approx((1 + 0 + 4) + (1 + 0 + 1), rel=1e-5)
    assert fid(a, a) == pytest.approx(0, abs=1e-6)


def test_fid_equals_the_formula_with_full_covariances():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(100, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=(90, 6)) @ rng.normal(size=(6, 6)) + 1
    s, t = np.cov(a.T), np.cov(b.T)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert fid(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-4)


def test_fid_needs_more_pictures_than_features():
    few = torch.randn(8, 8)
    with pytest.raises(ValueError, match="FID needs more than 8 pictures in each set; there are 8"):
        fid(torch.randn(50, 8), few)
    with pytest.raises(ValueError, match="not finite"):
        fid(torch.full((50, 8), torch.nan), torch.randn(50, 8))
    with pytest.raises(ValueError, match="compares features"):
        fid(torch.randn(50, 8), torch.randn(50, 9))


def test_kid_is_the_unbiased_mmd():
    a, b = torch.randn(60, 5, dtype=torch.float64), torch.randn(60, 5, dtype=torch.float64) + 0.5

    def kernel(x, y):
        return (x @ y.T / 5 + 1) ** 3

    def without_diagonal(k):
        return (k.sum() - k.trace()) / (60 * 59)

    direct = without_diagonal(kernel(a, a)) + without_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean()
    assert kid(a, b, subsets=3) == pytest.approx(float(direct), rel=1e-9)
    state = torch.get_rng_state()
    assert kid(a, b, subset_size=20) == kid(a, b, subset_size=20)
    assert torch.equal(state, torch.get_rng_state()), "measuring must not disturb the random numbers of others"


def test_inception_score_is_one_without_and_k_with_k_sure_classes():
    assert inception_score(torch.zeros(40, 5)) == pytest.approx(1.0)
    assert inception_score(100 * torch.eye(5).repeat(8, 1)) == pytest.approx(5.0, rel=1e-4)


def test_cmmd_is_the_biased_mmd_times_1000():
    a, b = torch.randn(12, 7), torch.randn(9, 7)
    unit = [F.normalize(x.double(), dim=1).numpy() for x in (a, b)]

    def mean_kernel(x, y):
        return np.mean([np.exp(-np.sum((p - q) ** 2) / 200) for p in x for q in y])

    direct = mean_kernel(unit[0], unit[0]) + mean_kernel(unit[1], unit[1]) - 2 * mean_kernel(*unit)
    assert cmmd(a, b) == pytest.approx(1000 * direct, rel=1e-9)
    assert cmmd(a, a) == pytest.approx(0, abs=1e-9)


def test_psnr_and_ssim_of_known_pictures():
    a = np.full((2, 32, 32, 3), 100, np.uint8)
    b = np.full((2, 32, 32, 3), 110, np.uint8)
    assert psnr(a, b) == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    noise = np.random.default_rng(0).integers(0, 255, a.shape, dtype=np.uint8)
    assert ssim(noise, noise) == pytest.approx(1.0)
    assert ssim(noise, noise[:, ::-1].copy()) < 0.2
    with pytest.raises(ValueError, match="one by one"):
        psnr(a, b[:1])


def test_psnr_is_averaged_over_pictures():
    a = np.full((2, 16, 16, 3), 100, np.uint8)
    b = np.stack([a[0] + 10, a[1] + 40])
    assert psnr(a, b) == pytest.approx(20 * np.log10([255 / 10, 255 / 40]).mean(), abs=1e-3)


def test_ssim_of_two_greys_is_the_term_of_luminance():
    x, y = 127 / 255, 140 / 255
    a, b = (np.full((1, 32, 32, 3), grey, np.uint8) for grey in (127, 140))
    assert ssim(a, b) == pytest.approx((2 * x * y + 0.01**2) / (x**2 + y**2 + 0.01**2), abs=1e-4)


def test_ssim_is_exact_while_a_model_is_trained_in_bfloat16():
    """Flat pictures, as those of the worlds: their small differences do not survive in half precision."""
    torch.manual_seed(0)
    a = torch.full((2, 3, 32, 32), 0.4)
    b = a + 0.01 * torch.randn_like(a)
    exact = ssim(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        assert ssim(a, b) == exact


def test_ssim_and_psnr_are_those_of_torchmetrics():
    from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

    a, b = torch.rand(2, 3, 3, 32, 32)
    b = (a + b) / 2
    expected = StructuralSimilarityIndexMeasure(data_range=1.0)(b, a)
    assert ssim(2 * a - 1, 2 * b - 1) == pytest.approx(float(expected), abs=1e-4)
    expected = PeakSignalNoiseRatio(data_range=1.0, dim=(1, 2, 3))(b, a)
    assert psnr(2 * a - 1, 2 * b - 1) == pytest.approx(float(expected), abs=1e-3)


def test_lpips_is_the_weighted_distance_of_normalised_feature_maps(tmp_path):
    from torchvision.models import vgg16

    torch.manual_seed(0)
    vgg = vgg16(weights=None)
    torch.save({k: v for k, v in vgg.state_dict().items() if k.startswith("features")}, tmp_path / "vgg.pth")
    a, b = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    linear = torch.load(_lpips_file(), map_location="cpu", weights_only=True)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = ((p - shift.view(3, 1, 1)) / scale.view(3, 1, 1) for p in (a, b))
    total = 0.0
    with torch.no_grad():
        for i, layer in enumerate(vgg.features[:30]):
            x, y = layer(x), layer(y)
            if i in (3, 8, 15, 22, 29):
                p, q = (f / (f.square().sum(1, keepdim=True) + 1e-8).sqrt() for f in (x, y))
                weight = linear[f"lin{(3, 8, 15, 22, 29).index(i)}.model.1.weight"]
                total += float(((p - q).square() * weight.view(1, -1, 1, 1)).sum(1).mean())
    assert lpips(a, b, tmp_path / "vgg.pth") == pytest.approx(total, rel=1e-4)
    assert lpips(a, a, tmp_path / "vgg.pth") == 0
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth .*vgg network"):
        lpips(a, b, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="nothing is downloaded"):
        lpips(a, b, tmp_path / "absent.pth")


def _lpips_file():
    import importlib.resources

    return importlib.resources.files("torchmetrics.functional.image") / "lpips_models" / "vgg.pth"


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    from torchvision.models.inception import Inception3

    torch.manual_seed(0)
    net = Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
    file = tmp_path_factory.mktemp("inception") / "pt_inception.pth"
    torch.save(net.state_dict(), file)
    return file


def test_the_published_inception_differs_from_torchvision_in_its_pooling(inception_file):
    net = load_inception(inception_file)
    seen = {}
    for name in ("Mixed_5b", "Mixed_6c", "Mixed_7b", "Mixed_7c"):
        block = getattr(net, name)
        block.register_forward_pre_hook(lambda m, inputs, name=name: seen.update({name: inputs[0]}))
        block.branch_pool.conv.register_forward_pre_hook(lambda m, i, name=name: seen.update({name + ".pool": i[0]}))
    x = torch.rand(1, 3, 299, 299) * 2 - 1
    with torch.no_grad():
        assert net(x).shape == (1, 2048)
    for name in ("Mixed_5b", "Mixed_6c", "Mixed_7b"):
        expected = F.avg_pool2d(seen[name], 3, 1, 1, count_include_pad=False)
        torch.testing.assert_close(seen[name + ".pool"], expected)
    torch.testing.assert_close(seen["Mixed_7c.pool"], F.max_pool2d(seen["Mixed_7c"], 3, 1, 1))


def test_distances_carry_the_name_of_their_network(inception_file, world, eyes):
    extractor = inception_extractor(inception_file)
    pictures = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    assert extractor.kid(pictures, pictures).keys() == {"KID"}
    assert extractor.cmmd(pictures, pictures).keys() == {"CMMD (Inception)"}
    assert extractor.inception_score(pictures).keys() == {"IS"}
    with pytest.raises(ValueError, match="FID needs more than 2048 pictures"):
        extractor.fid(pictures, pictures)
    eyes.logits = lambda pictures: [torch.zeros(len(pictures), 3)]
    pictures = next(world.batches("val", 64, 40, n=40)).pictures
    extractor = world_extractor(world)
    assert extractor.fid(pictures, pictures) == {"FID (squares)": pytest.approx(0, abs=1e-3)}
    assert extractor.inception_score(pictures) == {"IS (squares)": pytest.approx(1)}
    assert extractor.cmmd(pictures, pictures) == {"CMMD (squares)": pytest.approx(0, abs=1e-3)}
    extractor = clip_extractor(OpenClip())
    assert extractor.cmmd(pictures, pictures) == {"CMMD": pytest.approx(0, abs=1e-3)}
    assert extractor.fid(pictures, pictures).keys() == {"FID (CLIP)"}
    with pytest.raises(ValueError, match="no classes"):
        extractor.inception_score(pictures)


class Trap:
    """A pickle that runs code when it is loaded carelessly."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def bad_files(folder):
    torch.save({"weight": torch.zeros(1)}, folder / "other.pth")
    torch.save([torch.zeros(1)], folder / "list.pth")
    torch.save({"weight": "heavy"}, folder / "words.pth")
    (folder / "empty.pth").touch()
    (folder / "empty.safetensors").touch()
    (folder / "trap.pth").write_bytes(pickle.dumps(Trap(folder / "trapped"), protocol=2))
    save_file({"weight": torch.zeros(100)}, folder / "cut.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "cut.safetensors").read_bytes()[:-50])
    torch.save({"weight": torch.zeros(100)}, folder / "cut.pth")
    (folder / "cut.pth").write_bytes((folder / "cut.pth").read_bytes()[:-200])
    return [*folder.iterdir(), folder / "absent.pth"]


def test_bad_files_of_weights_are_named_with_what_to_do_and_run_no_code(tmp_path):
    picture = torch.zeros(1, 3, 32, 32)
    for file in bad_files(tmp_path):
        for load in (load_inception, lambda file: lpips(picture, picture, file, "alex")):
            with pytest.raises(ValueError, match=rf"{file.name}.*needs .* nothing is downloaded"):
                load(file)
    assert not (tmp_path / "trapped").exists()


def test_clip_score_of_given_embeddings():
    pictures = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    captions = torch.tensor([[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    assert clip_score(pictures, captions) == pytest.approx(100 * (1 + 0.5**0.5 + 0) / 3)
    with pytest.raises(ValueError, match="pairs embeddings"):
        clip_score(pictures, captions[:2])


def test_clip_score_is_that_of_torchmetrics():
    from torchmetrics.functional.multimodal import clip_score as reference

    pictures, captions = torch.rand(4, 8), torch.rand(4, 8)  # in one quadrant: no cosine below 0

    class Model(nn.Module):
        config = None
        get_image_features = staticmethod(lambda pixels: pictures)
        get_text_features = staticmethod(lambda ids, mask: captions)

    def processor(**given):
        return dict.fromkeys(["pixel_values", "input_ids", "attention_mask"], torch.zeros(4, 1))

    expected = reference(torch.zeros(4, 3, 8, 8), ["a"] * 4, lambda: (Model(), processor))
    assert clip_score(pictures, captions) == pytest.approx(float(expected), rel=1e-5)


class OpenClip(nn.Module):
    """In the form of open_clip: embeds the mean colour."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def encode_image(self, x):
        return self.scale * x.mean((2, 3))

    def encode_text(self, tokens):
        return self.scale * tokens.float()


def test_clip_embeddings_from_transformers_and_open_clip():
    from transformers import CLIPConfig, CLIPModel

    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**vision, "vocab_size": 64, "max_position_embeddings": 8, "eos_token_id": 63}
    config = CLIPConfig(text_config=text, vision_config={**vision, "image_size": 32, "patch_size": 16})
    model = CLIPModel(config).eval()

    def tokenizer(captions, padding, truncation, return_tensors):
        return {"input_ids": torch.tensor([[1, len(c) % 60, 63] for c in captions])}

    pictures = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    images, words = clip_embeddings(model, tokenizer, pictures, ["a", "bb"], size=32)
    assert images.shape == words.shape == (2, 512)

    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    images, words = clip_embeddings(OpenClip(), lambda captions: torch.ones(len(captions), 3), grey, ["a"])
    expected = (128 / 255 - torch.tensor(metrics.CLIP_MEAN)) / torch.tensor(metrics.CLIP_STD)
    torch.testing.assert_close(images[0], expected, atol=1e-4, rtol=0)


def test_clip_embeddings_in_batches_on_the_device_and_in_the_precision_of_the_model():
    pictures = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    whole = clip_pictures(OpenClip(), pictures, size=32)
    torch.testing.assert_close(clip_pictures(OpenClip(), pictures, size=32, batch_size=2), whole)
    half = clip_pictures(OpenClip().bfloat16(), pictures, size=32)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, atol=0.02, rtol=0.02)
    with pytest.raises(NotImplementedError, match="meta"):  # pictures did go where the model is
        clip_pictures(OpenClip().to("meta"), pictures, size=32)

    def tokenizer(captions):
        return torch.tensor([[len(caption)] for caption in captions])

    captions = ["a", "bb", "ccc"]
    assert clip_captions(OpenClip(), tokenizer, captions, batch_size=2).tolist() == [[1.0], [2.0], [3.0]]
