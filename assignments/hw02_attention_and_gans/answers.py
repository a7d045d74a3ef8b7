"""Answers that the checks of HW2 must accept, in other styles than the master's, and typical wrong ones to reject."""

RIGHT = {
    "cross_attention": {
        "loops over captions and places": """
def cross_attention(q, k, v, mask, scale=None):
    B, N, D = q.shape
    scale = 1 / D**0.5 if scale is None else scale
    found, weights = torch.zeros(B, N, v.shape[2]), torch.zeros(B, N, k.shape[1])
    for b in range(B):
        words = torch.nonzero(mask[b]).flatten()
        for n in range(N):
            e = torch.exp(scale * torch.stack([q[b, n] @ k[b, t] for t in words]))
            for t, w in zip(words, e / e.sum()):
                weights[b, n, t] = w
                found[b, n] += w * v[b, t]
    return found, weights
""",
        "einsum, and a large negative number": """
def cross_attention(q, k, v, mask, scale=None):
    if scale is None:
        scale = q.size(-1) ** -0.5
    scores = torch.einsum("bnd,btd->bnt", q, k) * scale + (~mask).float().unsqueeze(1) * -1e9
    weights = F.softmax(scores, dim=2)
    return torch.einsum("bnt,bte->bne", weights, v), weights
""",
    },
    "filters": {
        "loops": """
def filters(centre, stride, variance, size, window):
    bank = torch.zeros(len(centre), window, size)
    for b in range(len(centre)):
        for n in range(1, window + 1):
            mu = centre[b] + (n - window / 2 - 0.5) * stride[b]
            for a in range(size):
                bank[b, n - 1, a] = torch.exp(-((a - mu) ** 2) / (2 * variance[b]))
            bank[b, n - 1] /= bank[b, n - 1].sum()
    return bank
""",
        "a softmax": """
def filters(centre, stride, variance, size, window):
    steps = torch.arange(window) - (window - 1) / 2
    mu = centre.reshape(-1, 1, 1) + stride.reshape(-1, 1, 1) * steps.reshape(1, -1, 1)
    return torch.softmax(-(torch.arange(size) - mu).square() / 2 / variance.reshape(-1, 1, 1), -1)
""",
    },
    "augment": {
        "one number at a time": """
def augment(mu, logvar, eps):
    c, kl = torch.empty_like(mu), torch.zeros(len(mu))
    for b in range(len(mu)):
        for i in range(mu.shape[1]):
            sigma = torch.sqrt(torch.exp(logvar[b, i]))
            c[b, i] = mu[b, i] + sigma * eps[b, i]
            kl[b] += (mu[b, i] ** 2 + sigma**2 - 1) / 2 - torch.log(sigma)
    return c, kl
""",
        "torch.distributions": """
def augment(mu, logvar, eps):
    cloud = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return torch.addcmul(mu, cloud.scale, eps), torch.distributions.kl_divergence(cloud, standard).sum(dim=1)
""",
    },
    "matching_aware_loss": {
        "cross-entropy with logits": """
def matching_aware_loss(real, wrong, drawn):
    def should_be(answer, logits):
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))

    return should_be(1.0, real) + 0.5 * (should_be(0.0, wrong) + should_be(0.0, drawn))
""",
        "softplus": """
def matching_aware_loss(real, wrong, drawn):
    terms = [F.softplus(-real), F.softplus(wrong), F.softplus(drawn)]
    return sum(weight * term.sum() / term.numel() for weight, term in zip((1, 0.5, 0.5), terms))
""",
    },
    "damsm_score": {
        "one caption after the other": """
def damsm_score(words, regions, mask, gamma_1=4.0, gamma_2=5.0):
    scores = []
    for e, v, here in zip(words, regions, mask):
        e = e[here]
        s = torch.softmax(e @ v.T, 0)
        c = torch.softmax(gamma_1 * s, 1) @ v
        cos = (c * e).sum(1) / (c.norm(dim=1) * e.norm(dim=1))
        scores.append(torch.log(torch.exp(gamma_2 * cos).sum()))
    return torch.stack(scores)
""",
        "einsum": """
def damsm_score(words, regions, mask, gamma_1=4.0, gamma_2=5.0):
    keep = mask.to(words.dtype)
    e = torch.exp(torch.einsum("btd,bnd->btn", words, regions).clamp(max=80)) * keep[:, :, None]
    s = e / e.sum(1, keepdim=True)
    alpha = F.softmax(s * gamma_1, dim=-1)
    c = F.normalize(torch.einsum("btn,bnd->btd", alpha, regions), dim=-1)
    votes = torch.exp(gamma_2 * torch.einsum("btd,btd->bt", c, F.normalize(words, dim=-1)))
    return (votes * keep).sum(1).log()
""",
    },
}

# Each wrong answer is a change of the master's solution: what stands there, and what stands there instead.
WRONG = {
    "cross_attention": {
        "no scale": ("q.shape[-1] ** -0.5 if", "1.0 if"),
        "divides by D": ("q.shape[-1] ** -0.5 if", "1 / q.shape[-1] if"),
        "the given scale is ignored": ("q.shape[-1] ** -0.5 if scale is None else scale", "q.shape[-1] ** -0.5"),
        "softmax over the places": (".softmax(-1)", ".softmax(1)"),
        "no mask": ('.masked_fill(~mask[:, None], float("-inf"))', ""),
        "the mask the wrong way round": ("~mask[:, None]", "mask[:, None]"),
        "masked after the softmax, not scaled again": (
            'scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1)',
            "scores.softmax(-1) * mask[:, None]",
        ),
        "masked with 0": ('float("-inf")', "0.0"),
        "the mask for the wrong axis": ("~mask[:, None]", "~mask.T[:, :1, None]"),
        "weights and found in the wrong order": ("return weights @ v, weights", "return weights, weights @ v"),
        "the mask is inverted in place": ("~mask[:, None]", "mask.logical_not_()[:, None]"),
        "the weights of scores, without a softmax": (".softmax(-1)", ".clamp(min=0)"),
    },
    "filters": {
        "counts from 0": ("torch.arange(1, window + 1)", "torch.arange(window)"),
        "no half": ("window / 2 - 0.5", "window / 2"),
        "whole division": ("window / 2 - 0.5", "window // 2 - 0.5"),
        "a standard deviation instead of a variance": ("(2 * variance[", "(2 * variance.square()["),
        "no factor 2": ("(2 * variance[:, None, None])", "variance[:, None, None]"),
        "not scaled": ("return bank / bank.sum(-1, keepdim=True)", "return bank"),
        "scaled over the filters": ("bank.sum(-1, keepdim=True)", "bank.sum(1, keepdim=True)"),
        "scaled by the largest": ("bank.sum(-1, keepdim=True)", "bank.amax(-1, keepdim=True)"),
        "the wrong sign": ("torch.exp(-((", "torch.exp((("),
        "axes swapped": (
            "return bank / bank.sum(-1, keepdim=True)",
            "return (bank / bank.sum(-1, keepdim=True)).mT",
        ),
        "pixels from 1": ("a = torch.arange(size)", "a = torch.arange(1, size + 1)"),
        "no square": (" ** 2) / (2", ".abs()) / (2"),
    },
    "augment": {
        "the variance for sigma": ("torch.exp(logvar / 2) * eps", "torch.exp(logvar) * eps"),
        "the log variance for sigma": ("torch.exp(logvar / 2) * eps", "logvar * eps"),
        "no noise": ("mu + torch.exp(logvar / 2) * eps", "mu"),
        "new noise instead of the given": ("* eps", "* torch.randn_like(eps)"),
        "the wrong sign of KL": ("kl = -0.5", "kl = 0.5"),
        "no half": ("kl = -0.5 * (1", "kl = -(1"),
        "a mean over the numbers": (".sum(-1)", ".mean(-1)"),
        "one number for the batch": (".sum(-1)", ".sum()"),
        "summed over the batch": (".sum(-1)", ".sum(0)"),
        "mu is not squared": ("mu**2", "mu"),
        "the 1 is forgotten": ("(1 + logvar", "(logvar"),
        "mu is changed": ("c = mu + torch.exp(logvar / 2) * eps", "c = mu.add_(torch.exp(logvar / 2) * eps)"),
    },
    "matching_aware_loss": {
        "wrong pairs are left out": ("F.logsigmoid(-wrong).mean()", "0"),
        "wrong pairs are called true": ("F.logsigmoid(-wrong)", "F.logsigmoid(wrong)"),
        "no half": (".mean()) / 2", ".mean())"),
        "the wrong sign": ("return -F.logsigmoid(real).mean() - (", "return F.logsigmoid(real).mean() + ("),
        "real and drawn are swapped": (
            "-F.logsigmoid(real).mean() - (F.logsigmoid(-wrong).mean() + F.logsigmoid(-drawn)",
            "-F.logsigmoid(drawn).mean() - (F.logsigmoid(-wrong).mean() + F.logsigmoid(-real)",
        ),
        "a log that overflows": ("F.logsigmoid(-drawn)", "torch.log(1 - torch.sigmoid(drawn))"),
        "a log with a small number added": ("F.logsigmoid(-drawn)", "torch.log(1 - torch.sigmoid(drawn) + 1e-8)"),
        "sums instead of means": (".mean()", ".sum()"),
        "logits taken for probabilities": ("F.logsigmoid(real)", "torch.log(real.clamp(1e-6, 1))"),
        "a mean of wrong and drawn as one batch": (
            "(F.logsigmoid(-wrong).mean() + F.logsigmoid(-drawn).mean()) / 2",
            "F.logsigmoid(-torch.cat([wrong, drawn])).mean()",
        ),
        "one loss for each pair": ("-F.logsigmoid(real).mean()", "-F.logsigmoid(real)"),
        "drawn pairs are cut from the gradient": ("F.logsigmoid(-drawn)", "F.logsigmoid(-drawn.detach())"),
    },
    "damsm_score": {
        "softmax over the regions first": ('.masked_fill(~mask[..., None], float("-inf")).softmax(1)', ".softmax(2)"),
        "no first softmax": ('s = s.masked_fill(~mask[..., None], float("-inf")).softmax(1)', "s = s"),
        "padding answers regions": ('.masked_fill(~mask[..., None], float("-inf"))', ""),
        "padding votes": ('.masked_fill(~mask, float("-inf")).logsumexp', ".logsumexp"),
        "the second softmax over the words": ("(gamma_1 * s).softmax(2)", "(gamma_1 * s).softmax(1)"),
        "gamma_1 is forgotten": ("(gamma_1 * s)", "(s)"),
        "gamma_2 is forgotten": ("(gamma_2 * cosine)", "(cosine)"),
        "the gammas are swapped": ("(gamma_1 * s)", "(gamma_2 * s)"),
        "a product instead of a cosine": ("F.cosine_similarity(c, words, dim=-1)", "(c * words).sum(-1)"),
        "cosine along the words": (
            "F.cosine_similarity(c, words, dim=-1)",
            "F.cosine_similarity(c, words, dim=1)[:, :1] + 0 * mask",
        ),
        "a sum without the logarithm": (".logsumexp(1)", ".exp().sum(1)"),
        "a mean instead of a sum": (".logsumexp(1)", ".logsumexp(1) - mask.sum(1).log()"),
        "the power of the paper": (".logsumexp(1)", ".logsumexp(1) / gamma_2"),
    },
}
