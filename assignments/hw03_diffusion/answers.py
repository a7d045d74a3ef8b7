"""Answers that the checks of HW3 must accept, in other styles than the master's, and typical wrong ones to reject."""

RIGHT = {
    "add_noise": {
        "one picture after the other": """
def add_noise(x0, t, eps, alpha_bar):
    noisy = []
    for picture, when, noise in zip(x0, t.tolist(), eps):
        kept = float(alpha_bar[when])
        noisy.append(kept**0.5 * picture + (1 - kept) ** 0.5 * noise)
    return torch.stack(noisy)
""",
        "einsum": """
def add_noise(x0, t, eps, alpha_bar):
    signal, sigma = torch.sqrt(alpha_bar)[t], torch.sqrt(1 - alpha_bar)[t]
    return torch.einsum("b,bchw->bchw", signal, x0) + torch.einsum("b,bchw->bchw", sigma, eps)
""",
        "None as an index, and in float64": """
def add_noise(x0, t, eps, alpha_bar):
    kept = alpha_bar.double().gather(0, t)[:, None, None, None]
    return torch.lerp(torch.zeros_like(x0).double(), x0.double(), kept.sqrt()) + eps * torch.sqrt(1.0 - kept)
""",
    },
    "training_loss": {
        "F.mse_loss": """
def training_loss(model, add_noise, x0, t, eps):
    import torch.nn.functional as F

    return F.mse_loss(model(add_noise(x0, t, eps), t), eps, reduction="none").mean(dim=(1, 2, 3))
""",
        "sums, divided": """
def training_loss(model, add_noise, x0, t, eps):
    x_t = add_noise(x0, t, eps)
    difference = (eps - model(x_t, t)).reshape(len(x0), -1)
    return torch.einsum("bn,bn->b", difference, difference) / difference.shape[1]
""",
        "one picture after the other": """
def training_loss(model, add_noise, x0, t, eps):
    predicted = model(add_noise(x0, t, eps), t)
    return torch.stack([((a - b) ** 2).mean() for a, b in zip(predicted, eps)])
""",
    },
    "ddpm_step": {
        "by the noise, as algorithm 2": """
def ddpm_step(x_t, x0, bar_t, bar_s, z):
    alpha = bar_t / bar_s
    eps = (x_t - bar_t**0.5 * x0) / (1 - bar_t) ** 0.5
    mean = (x_t - (1 - alpha) / (1 - bar_t) ** 0.5 * eps) / alpha**0.5
    sigma = ((1 - alpha) * (1 - bar_s) / (1 - bar_t)) ** 0.5
    return mean + sigma * z
""",
        "two Gaussians multiplied, and no noise at the end by an if": """
def ddpm_step(x_t, x0, bar_t, bar_s, z):
    import math

    if bar_s == 1:
        return x0.clone()
    alpha = bar_t / bar_s
    precision = alpha / (1 - alpha) + 1 / (1 - bar_s)
    mean = (math.sqrt(alpha) / (1 - alpha) * x_t + math.sqrt(bar_s) / (1 - bar_s) * x0) / precision
    return mean + z / math.sqrt(precision)
""",
    },
    "ddim_step": {
        "along a straight line": """
def ddim_step(x_t, x0, bar_t, bar_s):
    ratio = ((1 - bar_s) / (1 - bar_t)) ** 0.5
    return ratio * x_t + (bar_s**0.5 - ratio * bar_t**0.5) * x0
""",
        "tensors and torch.sqrt": """
def ddim_step(x_t, x0, bar_t, bar_s):
    bar_t, bar_s = torch.tensor(bar_t), torch.tensor(bar_s)
    noise_there = x_t - torch.sqrt(bar_t) * x0
    return torch.addcmul(noise_there * torch.sqrt((1 - bar_s) / (1 - bar_t)), x0, torch.sqrt(bar_s))
""",
    },
    "guided": {
        "the caption first": """
def guided(model, x, t, context, null, s):
    B = x.shape[0]
    answer = model(x.repeat(2, 1, 1, 1), t.repeat(2), torch.cat([context, null.repeat(B, 1, 1)], dim=0))
    cond, uncond = answer[:B], answer[B:]
    s = s[:, None, None, None]
    return s * cond + (1 - s) * uncond
""",
        "caption and no caption beside each other": """
def guided(model, x, t, context, null, s):
    asked = torch.stack([context, null.expand_as(context)], 1).flatten(0, 1)
    answer = model(x.repeat_interleave(2, 0), t.repeat_interleave(2), asked).unflatten(0, (-1, 2))
    return torch.einsum("bchw,b->bchw", answer[:, 0], s) + torch.einsum("bchw,b->bchw", answer[:, 1], 1 - s)
""",
    },
    "start_of_edit": {
        "a loop that counts": """
def start_of_edit(add_noise, x0, eps, ts, strength):
    left = []
    for k in range(len(ts)):
        if len(ts) - k <= strength * len(ts):
            left.append(ts[k])
    if not left:
        left = [ts[-1]]
    t = torch.tensor([left[0]] * len(x0))
    return add_noise(x0, t, eps), left
""",
        "what is skipped, and math.floor": """
def start_of_edit(add_noise, x0, eps, ts, strength):
    import math

    skipped = min(len(ts) - math.floor(strength * len(ts)), len(ts) - 1)
    ts = ts[skipped:]
    noisy = [add_noise(x0[i : i + 1], torch.tensor(ts[:1]), eps[i : i + 1]) for i in range(len(x0))]
    return torch.cat(noisy), ts
""",
    },
}

# Each wrong answer is a change of the master's solution: what stands there, and what stands there instead.
WRONG = {
    "add_noise": {
        "no root of the signal": ("kept.sqrt() * x0", "kept * x0"),
        "no root of the noise": ("(1 - kept).sqrt() * eps", "(1 - kept) * eps"),
        "1 - root instead of the root of 1 - kept": ("(1 - kept).sqrt()", "(1 - kept.sqrt())"),
        "signal and noise are swapped": (
            "kept.sqrt() * x0 + (1 - kept).sqrt() * eps",
            "(1 - kept).sqrt() * x0 + kept.sqrt() * eps",
        ),
        "the wrong sign of the noise": ("x0 + (1", "x0 - (1"),
        "one timestep too early": ("alpha_bar[t]", "alpha_bar[(t - 1).clamp(min=0)]"),
        "one timestep too late": ("alpha_bar[t]", "alpha_bar[(t + 1).clamp(max=len(alpha_bar) - 1)]"),
        "the first timestep for all": ("alpha_bar[t]", "alpha_bar[t[:1]]"),
        "timesteps along the width": (".view(-1, 1, 1, 1)", ""),
        "timesteps along the channels": (".view(-1, 1, 1, 1)", ".view(1, -1, 1, 1)"),
        "new noise instead of the given": ("* eps", "* torch.randn_like(eps)"),
        "the product is taken again": ("alpha_bar[t]", "alpha_bar.cumprod(0)[t]"),
        "x0 is changed": ("kept.sqrt() * x0 + (1", "x0.mul_(kept.sqrt()) + (1"),
        "no return": ("return kept", "kept"),
    },
    "training_loss": {
        "one number for the batch": (".flatten(1).mean(1)", ".mean()"),
        "a sum instead of a mean": (".mean(1)", ".sum(1)"),
        "a mean over the batch": (".flatten(1).mean(1)", ".flatten(1).mean(0)"),
        "a mean over the channels alone": (".flatten(1).mean(1)", ".mean(1)"),
        "no square": ("error.square()", "error.abs()"),
        "the root of it": (".mean(1)", ".mean(1).sqrt()"),
        "the model sees the clean picture": ("model(add_noise(x0, t, eps), t)", "model(x0, t)"),
        "the model sees the noise alone": ("model(add_noise(x0, t, eps), t)", "model(eps, t)"),
        "the picture is asked for": ("- eps\n", "- x0\n"),
        "the noisy picture is asked for": ("- eps\n", "- add_noise(x0, t, eps)\n"),
        "new noise instead of the given": ("model(add_noise(x0, t, eps), t)", "model(add_noise(x0, t, 0 * eps), t)"),
        "another t than the picture's": ("t, eps), t)", "t, eps), t - 1)"),
        "the wrong sign": ("- eps\n", "+ eps\n"),
        "no gradient": ("return error", "return error.detach()"),
        "the model is asked twice": ("error = model", "model(add_noise(x0, t, eps), t)\n    error = model"),
        "eps is changed": ("error.square()", "eps.sub_(error + eps).square()"),
    },
    "ddpm_step": {
        "the large variance, so noise at the end": ("variance = (1 - bar_s) / (1 - bar_t) * beta", "variance = beta"),
        "the variance instead of its root": ("variance**0.5 * z", "variance * z"),
        "no noise": (" + variance**0.5 * z", ""),
        "new noise instead of the given": ("* z", "* torch.randn_like(z)"),
        "the wrong sign of the noise": ("+ variance", "- variance"),
        "no root of alpha_bar": ("bar_s**0.5 * beta", "bar_s * beta"),
        "alpha_bar of t instead of s": ("bar_s**0.5 * beta", "bar_t**0.5 * beta"),
        "no root of 1 - beta": ("(1 - beta) ** 0.5", "(1 - beta)"),
        "beta of a fraction the other way round": ("1 - bar_t / bar_s", "1 - bar_s / bar_t"),
        "beta is a difference": ("1 - bar_t / bar_s", "bar_s - bar_t"),
        "beta as if s were the start": ("1 - bar_t / bar_s", "1 - bar_t"),
        "x0 and x_t are swapped": ("of_x0 * x0 + of_x_t * x_t", "of_x0 * x_t + of_x_t * x0"),
        "the fraction of the variance the other way round": (
            "(1 - bar_s) / (1 - bar_t) * beta",
            "(1 - bar_t) / max(1 - bar_s, 1e-3) * beta",
        ),
        "jumps to the guess and drowns it again": (
            "of_x0 * x0 + of_x_t * x_t + variance**0.5 * z",
            "bar_s**0.5 * x0 + (1 - bar_s) ** 0.5 * z",
        ),
        "noise at the end": ("variance**0.5 * z", "max(variance, 1e-3) ** 0.5 * z"),
        "x_t is changed": ("of_x_t * x_t", "x_t.mul_(of_x_t)"),
    },
    "ddim_step": {
        "the noise with the root of alpha_bar forgotten": ("(x_t - bar_t**0.5 * x0)", "(x_t - bar_t * x0)"),
        "the noise is not scaled": ("/ (1 - bar_t) ** 0.5", ""),
        "divided by the variance": ("/ (1 - bar_t) ** 0.5", "/ (1 - bar_t)"),
        "the noise minus the picture": ("x_t - bar_t**0.5 * x0", "bar_t**0.5 * x0 - x_t"),
        "as much noise as at t": ("(1 - bar_s) ** 0.5 * eps", "(1 - bar_t) ** 0.5 * eps"),
        "as much picture as at t": ("return bar_s**0.5", "return bar_t**0.5"),
        "s and t are swapped": (
            "eps = (x_t",
            "bar_s, bar_t = bar_t, min(bar_s, 0.999)\n    eps = (x_t",
        ),
        "no root of the signal": ("bar_s**0.5 * x0", "bar_s * x0"),
        "no root of the noise": ("(1 - bar_s) ** 0.5 * eps", "(1 - bar_s) * eps"),
        "fresh noise": ("* eps", "* torch.randn_like(eps)"),
        "x_t for its noise": ("* eps", "* x_t"),
        "the guess itself": ("return bar_s**0.5 * x0 + (1 - bar_s) ** 0.5 * eps", "return x0"),
        "x_t is changed": ("(x_t - bar_t**0.5 * x0)", "x_t.sub_(bar_t**0.5 * x0)"),
    },
    "guided": {
        "two calls": (
            "model(torch.cat([x, x]), torch.cat([t, t]), both).chunk(2)",
            "(model(x, t, c) for c in both.chunk(2))",
        ),
        "one call, and another one without a caption": ("return uncond", "model(x, t, context)\n    return uncond"),
        "the answers in the wrong order": ("uncond, cond = model", "cond, uncond = model"),
        "the difference the wrong way round": ("(cond - uncond)", "(uncond - cond)"),
        "from the caption's answer on": ("return uncond +", "return cond +"),
        "the scale of the paper, off by one": ("s.view(-1, 1, 1, 1)", "(1 + s.view(-1, 1, 1, 1))"),
        "the first scale for all": ("s.view(-1, 1, 1, 1)", "s[0]"),
        "scales along the width": ("s.view(-1, 1, 1, 1)", "s"),
        "scales along the channels": ("s.view(-1, 1, 1, 1)", "s.view(1, -1, 1, 1)[:, : x.shape[1]]"),
        "the answers are taken apart along the channels": (
            "both).chunk(2)",
            "both).repeat(1, 2, 1, 1)[: len(x)].chunk(2, 1)",
        ),
        "pictures doubled one by one, captions not": ("torch.cat([x, x])", "x.repeat_interleave(2, 0)"),
        "timesteps doubled one by one": ("torch.cat([t, t])", "t.repeat_interleave(2)"),
        "null is not repeated": ("null.expand(len(x), -1, -1)", "null"),
        "zeros instead of the empty caption": ("null.expand(len(x), -1, -1)", "torch.zeros_like(context)"),
        "guidance left out for small scales": ("s.view(-1, 1, 1, 1)", "s.view(-1, 1, 1, 1).clamp(min=1)"),
        "x is changed": ("return uncond", "x.copy_(cond)\n    return uncond"),
    },
    "start_of_edit": {
        "the first n": ("ts[-n:]", "ts[:n]"),
        "one too many": ("ts[-n:]", "ts[-min(n + 1, len(ts)) :]"),
        "one too few": ("ts[-n:]", "ts[len(ts) - n + 1 :] or ts[-1:]"),
        "not at least one": ("max(1, int(strength * len(ts)))", "int(strength * len(ts))"),
        "rounded up": ("int(strength * len(ts))", "len(ts) - int((1 - strength) * len(ts))"),
        "rounded to the nearest": ("int(strength * len(ts))", "int(strength * len(ts) + 0.5)"),
        "strength the wrong way round": ("int(strength * len(ts))", "int((1 - strength) * len(ts))"),
        "a share of the timesteps' values": ("ts[-n:]", "[t for t in ts if t <= strength * 1000] or ts[-1:]"),
        "noise of the first timestep of all": ("rest[0]", "ts[0]"),
        "noise of the last timestep": ("rest[0]", "rest[-1]"),
        "noise of the timestep after": ("rest[0]", "rest[min(1, len(rest) - 1)]"),
        "no noise": ("return add_noise(x0, torch.full((len(x0),), rest[0]), eps), rest", "return x0, rest"),
        "noise alone": ("return add_noise(x0, torch.full((len(x0),), rest[0]), eps), rest", "return eps, rest"),
        "picture and noise are swapped": (
            "add_noise(x0, torch.full((len(x0),), rest[0]), eps)",
            "add_noise(eps, torch.full((len(x0),), rest[0]), x0)",
        ),
        "from little noise to much": ("rest = ts[-n:]", "rest = ts[-n:][::-1]"),
        "ts is cut": ("rest = ts[-n:]", "del ts[: len(ts) - n]\n    rest = ts"),
        "x0 is changed": ("return add_noise(x0,", "return add_noise(x0.add_(eps).sub_(0.5),"),
    },
}
