"""How good are the pictures? Exactly for captions (the worlds know the truth), and by distances between features.

judge.caption_accuracy(pictures, captions, world)   # the share of promised facts that the pictures keep
judge.ceiling(world, "test", n)                     # the same of true pictures: the most that can be measured
judge.table.judge(draw, world, n)                   # both and chance, by attribute and split, for all that draws
judge.metrics                                       # FID, KID, IS, CMMD, CLIP score, PSNR, SSIM, LPIPS
"""

from .caption_accuracy import Score, caption_accuracy, ceiling, compare

__all__ = ["Score", "caption_accuracy", "ceiling", "compare"]
