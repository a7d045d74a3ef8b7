"""The history of text-to-image synthesis as data: the systems of the course on the six axes, and where they are taught.

The lecture ends each era with the same question, "How could we improve it?", and the same six answers: another
generative technique, a better text encoder, a better architecture, a better connection of text and picture, more data,
a bigger model. An `Anatomy` is one choice on each of the first five; the parameter counts say the sixth.
"""

from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import signature


@dataclass(frozen=True)
class Anatomy:
    """What a system is made of."""

    technique: str
    text: str
    architecture: str
    connection: str
    data: str


@dataclass(frozen=True)
class System:
    """One system, with the year in which it was made public. `module` is None while the library does not have it."""

    year: int
    name: str
    title: str
    chapter: str
    anatomy: Anatomy
    module: str | None = None  # "package.module:Class"
    variants: dict[str, int] = field(
        default_factory=dict
    )  # parameters of what draws, for each variant (GAN: G; diffusion: U-Net)


HISTORY: tuple[System, ...] = (
    System(
        2007,
        "picture_layout",
        "Text-to-Picture by layout",
        "01",
        Anatomy("collage", "keyphrases, PageRank", "picture library", "retrieval and layout", "pictograms"),
        module="t2i_course.layout.picture_layout:PictureLayout",
        variants={"full": 6_676},
    ),
    System(
        2015,
        "aligndraw",
        "alignDRAW",
        "02",
        Anatomy("VAE", "bi-LSTM", "recurrent attention", "soft attention over words", "MS-COCO"),
        module="t2i_course.vae.aligndraw:Drawer",
        variants={"small": 2_112_861, "full": 33_098_147, "mnist": 2_371_746},
    ),
    System(
        2016,
        "pixelcnn",
        "PixelRNN and PixelCNN",
        "07",
        Anatomy("autoregressive", "class label", "masked CNN", "gates", "CIFAR-10, ImageNet"),
    ),
    System(
        2016,
        "gan_cls",
        "GAN-INT-CLS",
        "04",
        Anatomy("GAN", "char-CNN-RNN", "DCGAN", "concatenation", "Oxford-102, CUB, MS-COCO"),
        module="t2i_course.gan.gan_cls:GANCLS",
        variants={"small": 1_910_499, "full": 18_909_699, "full_coco": 41_107_551},
    ),
    System(
        2016,
        "stackgan",
        "StackGAN",
        "05",
        Anatomy("GAN", "char-CNN-RNN", "two stacked CNNs", "conditioning augmentation", "CUB, Oxford-102, MS-COCO"),
        module="t2i_course.gan.stackgan:StackGAN",
        variants={"small": 2_040_832, "full": 57_151_312},
    ),
    System(
        2017,
        "vqvae",
        "VQ-VAE",
        "08",
        Anatomy("VAE and autoregressive", "none", "CNN with codebook", "none", "ImageNet"),
    ),
    System(
        2017,
        "attngan",
        "AttnGAN",
        "06",
        Anatomy("GAN", "bi-LSTM", "three-stage CNN", "attention over words", "CUB, MS-COCO"),
        module="t2i_course.gan.attngan:AttnGAN",
        variants={"small": 2_788_144, "bird": 7_084_592, "coco": 13_811_456},
    ),
    System(
        2020,
        "imagegpt",
        "image GPT",
        "09",
        Anatomy("autoregressive", "none", "transformer", "none", "ImageNet"),
    ),
    System(
        2020,
        "ddpm",
        "DDPM",
        "11",
        Anatomy("diffusion", "none", "U-Net", "none", "CIFAR-10, LSUN, CelebA-HQ"),
        module="t2i_course.diffusion.latent_diffusion:DDPM",
        variants={
            "small": 5_493_024,
            "ddpm_cifar10": 35_746_307,
            "ddpm_256": 113_673_219,
            "iddpm_cifar10": 52_546_438,
            "iddpm_64": 121_063_942,
            "iddpm_64_classes": 273_049_350,
            "iddpm_lsun": 113_676_678,
        },
    ),
    System(
        2020,
        "vqgan",
        "VQGAN and taming transformers",
        "09",
        Anatomy("GAN and autoregressive", "class label, tokens", "CNN and transformer", "prefix tokens", "ImageNet"),
    ),
    System(
        2021,
        "clip",
        "CLIP",
        "10",
        Anatomy("contrastive", "transformer", "ViT or ResNet", "shared embedding", "400 million web pairs"),
    ),
    System(
        2021,
        "dalle",
        "DALL·E",
        "09",
        Anatomy("autoregressive", "BPE tokens", "transformer", "prefix tokens", "250 million web pairs"),
    ),
    System(
        2021,
        "align",
        "ALIGN",
        "10",
        Anatomy("contrastive", "BERT", "EfficientNet", "shared embedding", "1.8 billion web pairs"),
    ),
    System(
        2021,
        "sr3",
        "SR3",
        "13",
        Anatomy("diffusion", "none", "U-Net", "low-resolution picture", "FFHQ, ImageNet"),
    ),
    System(
        2021,
        "adm",
        "Guided diffusion (ADM)",
        "12",
        Anatomy("diffusion", "class label", "U-Net", "classifier guidance", "ImageNet"),
        module="t2i_course.diffusion.pixels:PixelDiffusion",
        variants={
            "adm_64": 295_904_454,
            "adm_128": 421_529_606,
            "adm_256": 553_838_086,
            "adm_256_uncond": 552_814_086,
            "adm_512": 558_997_638,
        },
    ),
    System(
        2021,
        "glide",
        "GLIDE",
        "13",
        Anatomy("diffusion", "transformer", "U-Net cascade", "attention, guidance", "250 million web pairs"),
    ),
    System(
        2021,
        "latent_diffusion",
        "Latent diffusion",
        "14",
        Anatomy("diffusion in latents", "BERT-like", "autoencoder and U-Net", "cross-attention", "LAION-400M"),
        module="t2i_course.diffusion.latent_diffusion:LatentDiffusion",
        variants={
            "small": 5_287_024,
            "ldm_text": 872_300_484,
            "ldm_vq_f4": 274_056_163,
            "ldm_churches": 294_966_916,
            "ldm_imagenet_vq_f8": 394_984_196,
            "ldm_imagenet": 400_920_579,
            "ldm_text_cc": 403_623_939,
        },
    ),
    System(
        2022,
        "maskgit",
        "MaskGIT",
        "18",
        Anatomy("masked tokens", "class label", "bidirectional transformer", "prefix token", "ImageNet"),
    ),
    System(
        2022,
        "dalle2",
        "DALL·E 2 (unCLIP)",
        "13",
        Anatomy("diffusion", "CLIP with prior", "U-Net cascade", "CLIP embedding", "250 million web pairs"),
    ),
    System(
        2022,
        "imagen",
        "Imagen",
        "13",
        Anatomy("diffusion", "T5-XXL, frozen", "U-Net cascade", "cross-attention", "860 million pairs"),
    ),
    System(
        2022,
        "parti",
        "Parti",
        "09",
        Anatomy("autoregressive", "transformer encoder", "ViT-VQGAN, transformer", "cross-attention", "web pairs"),
    ),
    System(
        2022,
        "stable_diffusion",
        "Stable Diffusion",
        "15",
        Anatomy("diffusion in latents", "CLIP, frozen", "autoencoder and U-Net", "cross-attention", "LAION-5B"),
        module="t2i_course.diffusion.latent_diffusion:StableDiffusion",
        variants={
            "small": 6_403_024,
            "sd_1": 859_520_964,
            "sd_1_inpainting": 859_535_364,
            "sd_2_base": 865_910_724,
            "sd_2": 865_910_724,
            "sd_2_inpainting": 865_925_124,
        },
    ),
    System(
        2023,
        "muse",
        "Muse",
        "18",
        Anatomy("masked tokens", "T5-XXL, frozen", "VQGAN and transformer", "cross-attention", "460 million pairs"),
    ),
    System(
        2023,
        "stylegan_t",
        "StyleGAN-T",
        "17",
        Anatomy("GAN", "CLIP", "StyleGAN", "modulation", "250 million web pairs"),
    ),
    System(
        2023,
        "gigagan",
        "GigaGAN",
        "17",
        Anatomy("GAN", "CLIP with own layers", "StyleGAN with attention", "modulation, cross-attention", "LAION"),
    ),
    System(
        2023,
        "kandinsky",
        "Kandinsky 2.1",
        "16",
        Anatomy("diffusion in latents", "CLIP, XLM-R, prior", "MoVQ and U-Net", "cross-attention", "LAION"),
    ),
    System(
        2023,
        "markovgen",
        "MarkovGen",
        "18",
        Anatomy("masked tokens", "T5-XXL, frozen", "transformer, random field", "cross-attention", "460 million pairs"),
    ),
    System(
        2024,
        "var",
        "VAR",
        "19",
        Anatomy("autoregressive over scales", "class label", "transformer", "adaptive norm", "ImageNet"),
    ),
    System(
        2024,
        "sana",
        "SANA",
        "19",
        Anatomy("flow in latents", "Gemma, frozen", "deep autoencoder, linear DiT", "cross-attention", "web pairs"),
    ),
    System(
        2024,
        "latentcrf",
        "LatentCRF",
        "19",
        Anatomy(
            "diffusion in latents",
            "CLIP, frozen",
            "U-Net and random field",
            "cross-attention",
            "that of Stable Diffusion",
        ),
    ),
)


def systems() -> list[System]:
    """The systems that the library can draw with, oldest first."""
    return [system for system in HISTORY if system.module]


def find(name: str) -> System:
    """The system called `name`; it must be one that the library can draw with."""
    for system in systems():
        if system.name == name:
            return system
    raise ValueError(f"There is no system {name!r}. The systems are: {', '.join(s.name for s in systems())}.")


def load(name: str, variant: str | None = None, **options):
    """A system ready to draw: an object with `frames(captions, seed=0, ...)` and `draw(captions, seed=0, ...)`.

    `variant` defaults to the small model; with `weights` to the first published one; or to the only one that there is.
    """
    system = find(name)
    if variant is None:
        published = [v for v in system.variants if v != "small"]
        small = "small" in system.variants and not (options.get("weights") and published)
        variant = "small" if small else published[0]
    if variant not in system.variants:
        raise ValueError(f"{name} has no variant {variant!r}. Its variants are: {', '.join(system.variants)}.")
    module, class_name = system.module.split(":")
    factory = getattr(import_module(module), class_name)
    taken = signature(getattr(factory, "load", factory)).parameters
    if unknown := options.keys() - taken.keys() - {"weights"}:
        raise ValueError(f"{name} takes no {min(unknown)}; leave it out.")
    if hasattr(factory, "load"):
        return factory.load(variant, **options)
    if "weights" in options:
        raise ValueError(f"{name} has no weights to load; leave them out.")
    return factory(**options)


# Published networks that are parts of systems, or stand alone: the function that loads them -> parameters by variant,
# as counted in the original codes.
PARTS: dict[str, dict[str, int]] = {
    "t2i_course.published.unet:load_unet": {
        "iddpm_64_to_256": 279_792_390,
        "adm_64_to_256": 311_795_910,
        "adm_128_to_512": 308_835_270,
        "sd_x4": 473_398_020,
    },
    "t2i_course.published.unet:load_classifier": {
        "64": 65_438_568,
        "128": 42_568_040,
        "256": 54_096_360,
        "512": 54_448_360,
    },
    "t2i_course.published.autoencoder:load_autoencoder": {
        "kl_f4": 55_312_063,
        "kl_f8": 83_653_863,
        "kl_f16": 69_610_963,
        "kl_f32": 103_880_131,
        "vq_f4": 55_322_782,
        "vq_f4_noattn": 53_219_486,
        "vq_f8": 67_717_295,
        "vq_f8_n256": 67_652_783,
        "vq_f16": 69_593_371,
        "vqgan_f16_1024": 72_141_699,
        "vqgan_f16_16384": 76_073_859,
    },
    "t2i_course.published.clip:load_clip": {
        "vit_b_32": 151_277_313,
        "vit_b_16": 149_620_737,
        "vit_l_14": 427_616_513,
        "vit_l_14_336": 427_944_193,
        "vit_h_14": 986_109_441,
    },
}

# What `t2i train` can train: name -> "module:function", a function that takes the name and returns a Recipe.
RECIPES: dict[str, str] = (
    {f"recogniser_{world}": "t2i_course.judge.recogniser:named_recipe" for world in ("flowers", "birds", "scenes")}
    | {
        f"small_{kind}_{factor}": "t2i_course.codec.autoencoder:recipe"
        for kind in ("kl", "vq")
        for factor in ("f4", "f8")
    }
    | {
        "small_kl_f8_aligned": "t2i_course.codec.autoencoder:aligned_recipe",
        "world_cnn": "t2i_course.judge.recogniser:world_cnn_recipe",
        "scene_cnn": "t2i_course.judge.recogniser:scene_cnn_recipe",
        "char_cnn_rnn": "t2i_course.text.char_cnn_rnn:recipe",
        "aligndraw": "t2i_course.vae.aligndraw:recipe",
        "sharpen": "t2i_course.vae.sharpen:recipe",
        "gan_cls": "t2i_course.gan.gan_cls:recipe",
        "gan_cls_plain": "t2i_course.gan.gan_cls:recipe",
        "stackgan_1": "t2i_course.gan.stackgan:recipe",
        "stackgan_2": "t2i_course.gan.stackgan:recipe",
        "damsm": "t2i_course.gan.damsm:recipe",
        "attngan": "t2i_course.gan.attngan:recipe",
        "clip": "t2i_course.text.clip:recipe",
        "noisy_clip": "t2i_course.text.clip:recipe",
        "ddpm": "t2i_course.diffusion.small:recipe",
        "noisy_classifier": "t2i_course.diffusion.noisy_classifier:recipe",
        "ldm": "t2i_course.diffusion.small:recipe",
        "ldm_clip": "t2i_course.diffusion.small:recipe",
    }
)


def recipe_function(name: str):
    """What makes the recipe called `name`; its parameters after the first are its options."""
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}. The recipes are: {', '.join(RECIPES)}.")
    module, function = RECIPES[name].split(":")
    return getattr(import_module(module), function)


def recipe(name: str, **options):
    """The recipe called `name`, with options of its own, as batch_size=192; they are kept in the record."""
    made = recipe_function(name)(name, **options)
    return replace(made, record=made.record | {"options": options}) if options else made
