"""Attention: the readable path, the fast path, masks and heads."""

import pytest
import torch
from torch import nn

from t2i_course.nn.attention import CrossAttention, attention, fast_attention

SHAPES = [((), 5, 7, 4, 3), ((2,), 1, 6, 8, 8), ((2, 3), 9, 1, 16, 5)]


def random(shape, n, t, d, e, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, a, b, generator=generator, dtype=dtype) for a, b in ((n, d), (t, d), (t, e))]


@pytest.mark.parametrize(("shape", "n", "t", "d", "e"), SHAPES)
@pytest.mark.parametrize("scale", [None, 1.0])
def test_both_paths_agree_and_are_the_equation(shape, n, t, d, e, scale):
    q, k, v = random(shape, n, t, d, e)
    output, weights = attention(q, k, v, scale=scale)
    expected = torch.exp((d**-0.5 if scale is None else scale) * torch.einsum("...nd,...td->...nt", q, k))
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(weights, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(output, torch.einsum("...nt,...te->...ne", expected, v), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fast_attention(q, k, v, scale=scale), output, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_paths_agree_under_a_mask(dtype):
    q, k, v = (x.to(dtype) for x in random((2, 3), 5, 6, 8, 4))
    mask = torch.rand(2, 1, 5, 6, generator=torch.Generator().manual_seed(1)) > 0.4
    mask[0, 0, 2] = False  # a query that may look nowhere
    output, weights = attention(q, k, v, mask)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(fast_attention(q, k, v, mask), output, atol=tolerance, rtol=tolerance)
    assert weights[~mask.expand_as(weights)].abs().max() == 0
    assert torch.equal(output[0, :, 2], torch.zeros(3, 4, dtype=dtype))
    sums = weights.float().sum(-1)[mask.any(-1).expand(2, 3, 5)]
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=tolerance, rtol=0)


def test_masked_keys_have_no_influence():
    q, k, v = random((), 3, 5, 4, 4)
    mask = torch.tensor([True, True, False, True, False])
    changed_k, changed_v = k.clone(), v.clone()
    changed_k[~mask], changed_v[~mask] = 1e4, -1e4
    for path in (lambda *a: attention(*a)[0], fast_attention):
        torch.testing.assert_close(path(q, changed_k, changed_v, mask), path(q, k[mask], v[mask], None))


def test_order_of_keys_does_not_matter_and_that_of_queries_carries_over():
    q, k, v = random((2,), 5, 7, 4, 3)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention(q, k[:, order], v[:, order])[0], attention(q, k, v)[0])
    torch.testing.assert_close(attention(q.flip(1), k, v)[0], attention(q, k, v)[0].flip(1))


def test_a_causal_mask_is_a_shorter_context():
    q, k, v = random((), 6, 6, 4, 4)
    output = fast_attention(q, k, v, torch.ones(6, 6, dtype=torch.bool).tril())
    for i in range(6):
        torch.testing.assert_close(output[i : i + 1], attention(q[i : i + 1], k[: i + 1], v[: i + 1])[0])


def test_sharp_attention_is_a_look_up():
    q, k, v = random((), 4, 6, 8, 3)
    torch.testing.assert_close(attention(q, k, v, scale=1e4)[0], v[(q @ k.T).argmax(-1)])
    torch.testing.assert_close(attention(q, k, v, scale=0.0)[0], v.mean(0).expand(4, 3))


def test_gradients_of_both_paths():
    inputs = [x.requires_grad_() for x in random((1,), 3, 4, 2, 2, dtype=torch.double)]
    mask = torch.tensor([True, False, True, True])
    assert torch.autograd.gradcheck(lambda *x: attention(*x, mask)[0], inputs)
    assert torch.autograd.gradcheck(lambda *x: fast_attention(*x, mask), inputs)


def test_several_heads_are_torchs_multihead_attention():
    torch.manual_seed(0)
    ours, theirs = CrossAttention(12, 10, heads=3), nn.MultiheadAttention(12, 3, kdim=10, vdim=10, batch_first=True)
    with torch.no_grad():
        for name in "qkv":
            getattr(theirs, f"{name}_proj_weight").copy_(getattr(ours, f"to_{name}").weight)
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(ours.to_out.state_dict())
    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    expected, weights = theirs(x, context, context, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(ours(x, context, mask), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.weights(x, context, mask), weights, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours(x, context, mask[:, None].expand(2, 5, 7)), expected, atol=1e-6, rtol=1e-5)
    alone = CrossAttention(12, heads=3)
    torch.testing.assert_close(alone(x), alone(x, x))


def test_what_does_not_fit_is_said():
    q, k, v = random((), 3, 5, 4, 4)
    for path in (attention, fast_attention):
        with pytest.raises(ValueError, match="as many numbers"):
            path(q[:, :3], k, v)
        with pytest.raises(ValueError, match="needs a value"):
            path(q, k, v[:3])
        with pytest.raises(ValueError, match="mask is bool"):
            path(q, k, v, torch.zeros(3, 5))
        with pytest.raises(ValueError, match="mask is bool"):
            path(q, k, v, torch.ones(3, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="among 5 heads"):
        CrossAttention(12, heads=5)
