"""Attention: the readable path, the fast path, masks and heads."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from t2i_course.nn.attention import CrossAttention, attention, fast_attention

SHAPES = [((), 5, 7, 4, 3), ((2,), 1, 6, 8, 8), ((2, 3), 9, 1, 16, 5), ((2, 3), 40, 50, 16, 16)]
PATHS = {"readable": lambda *a, **b: attention(*a, **b)[0], "fast": fast_attention}
both_paths = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def random(shape, n, t, d, e, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, a, b, generator=generator, dtype=dtype) for a, b in ((n, d), (t, d), (t, e))]


def random_mask(*shape, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.4


@pytest.mark.parametrize(("shape", "n", "t", "d", "e"), SHAPES)
@pytest.mark.parametrize("scale", [None, 1.0])
def test_both_paths_agree_and_are_the_equation(shape, n, t, d, e, scale):
    q, k, v = random(shape, n, t, d, e)
    output, weights = attention(q, k, v, scale=scale)
    expected = torch.exp((d**-0.5 if scale is None else scale) * torch.einsum("...nd,...td->...nt", q, k))
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(weights, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(*shape, n))
    torch.testing.assert_close(output, torch.einsum("...nt,...te->...ne", expected, v), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fast_attention(q, k, v, scale=scale), output, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_paths_agree_under_a_mask(dtype, scale):
    q, k, v = (x.to(dtype) for x in random((2, 3), 5, 6, 8, 4))
    mask = random_mask(2, 1, 5, 6)
    mask[0, 0, 2] = False  # a query that may look nowhere
    output, weights = attention(q, k, v, mask, scale)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(fast_attention(q, k, v, mask, scale), output, atol=tolerance, rtol=tolerance)
    assert weights[~mask.expand_as(weights)].abs().max() == 0
    assert torch.equal(output[0, :, 2], torch.zeros(3, 4, dtype=dtype))
    sums = weights.float().sum(-1)[mask.any(-1).expand(2, 3, 5)]
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=tolerance, rtol=0)


@both_paths
@pytest.mark.parametrize("shape", [(6,), (1,), (5, 6), (5, 1), (3, 1, 6), (2, 1, 1, 6), (2, 3, 5, 6)])
def test_a_mask_may_leave_out_dimensions(path, shape):
    q, k, v = random((2, 3), 5, 6, 8, 8)
    mask = random_mask(*shape, seed=2)
    torch.testing.assert_close(path(q, k, v, mask), path(q, k, v, mask.expand(2, 3, 5, 6)), atol=1e-6, rtol=0)


@both_paths
@pytest.mark.parametrize("shape", [(), (1, 2)])
def test_masked_keys_have_no_influence(path, shape):
    q, k, v = random(shape, 3, 5, 4, 4)
    mask = torch.tensor([True, True, False, True, False])
    changed_k, changed_v = k.clone(), v.clone()
    changed_k[..., ~mask, :], changed_v[..., ~mask, :] = 1e4, -1e4
    torch.testing.assert_close(path(q, changed_k, changed_v, mask), path(q, k[..., mask, :], v[..., mask, :]))


@both_paths
def test_who_may_look_nowhere_finds_zeros_and_spoils_no_gradient(path):
    q, k, v = (x.requires_grad_() for x in random((1, 2), 3, 5, 4, 4))
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1] = False
    output = path(q, k, v, mask)
    assert torch.equal(output[:, :, 1], torch.zeros(1, 2, 4))
    output.square().sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))
    assert q.grad[:, :, 1].abs().max() == 0
    assert q.grad[:, :, 0].abs().max() > 0


@both_paths
def test_order_of_keys_does_not_matter_and_that_of_queries_carries_over(path):
    q, k, v = random((2,), 5, 7, 4, 3)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(path(q, k[:, order], v[:, order]), path(q, k, v))
    torch.testing.assert_close(path(q.flip(1), k, v), path(q, k, v).flip(1))
    assert not torch.allclose(path(q, k[:, order], v), path(q, k, v))  # unless a key loses its value


@both_paths
def test_a_causal_mask_is_a_shorter_context(path):
    q, k, v = random((), 6, 6, 4, 4)
    output = path(q, k, v, torch.ones(6, 6, dtype=torch.bool).tril())
    for i in range(6):
        torch.testing.assert_close(output[i : i + 1], path(q[i : i + 1], k[: i + 1], v[: i + 1]))


@both_paths
def test_sharp_attention_is_a_look_up(path):
    q, k, v = random((), 4, 6, 8, 3)
    torch.testing.assert_close(path(q, k, v, scale=1e4), v[(q @ k.T).argmax(-1)])
    torch.testing.assert_close(path(q, k, v, scale=0.0), v.mean(0).expand(4, 3))


@both_paths
def test_gradients(path):
    inputs = [x.requires_grad_() for x in random((1,), 3, 4, 2, 2, dtype=torch.double)]
    mask = torch.tensor([True, False, True, True])
    assert torch.autograd.gradcheck(lambda *x: path(*x, mask), inputs)
    assert torch.autograd.gradcheck(lambda *x: path(*x, scale=1.0), inputs)


def largest_block(call) -> int:
    """Bytes of the largest block of memory that one operation asks for."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        call()
    return max(event.self_cpu_memory_usage for event in measured.events())


@pytest.mark.parametrize("shape", [(1,), (1, 2)])
def test_the_fast_path_never_stores_the_weights(shape):
    q, k, v = random(shape, 512, 512, 16, 16)
    weights = attention(q, k, v)[1].nbytes
    assert largest_block(lambda: attention(q, k, v)) >= weights
    assert largest_block(lambda: fast_attention(q, k, v)) < weights / 2


@pytest.mark.parametrize("masked", [False, True])
def test_the_fast_path_in_half_precision_has_the_gradients_of_the_readable_one(masked):
    """On a CPU it takes the readable path there, as torch's own gradient is slow."""
    torch.manual_seed(0)
    given = [torch.randn(2, 3, 7, 8, dtype=torch.bfloat16) for _ in range(3)]
    mask = torch.rand(7, 7) < 0.7 if masked else None
    exact, fast = ([x.to(dtype).requires_grad_() for x in given] for dtype in (torch.float32, torch.bfloat16))
    attention(*exact, mask)[0].square().sum().backward()
    fast_attention(*fast, mask).float().square().sum().backward()
    for a, b in zip(exact, fast, strict=True):
        torch.testing.assert_close(b.grad.float(), a.grad, atol=0.1, rtol=0.1)


def test_several_heads_are_torchs_multihead_attention():
    torch.manual_seed(0)
    ours, theirs = CrossAttention(12, 10, heads=3), nn.MultiheadAttention(12, 3, kdim=10, vdim=10, batch_first=True)
    with torch.no_grad():
        for name in "qkv":
            getattr(theirs, f"{name}_proj_weight").copy_(getattr(ours, f"to_{name}").weight)
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(ours.to_out.state_dict())
    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    of_words = torch.arange(7) < torch.tensor([[7], [4]])  # (B, T)
    for mask, given in (
        (of_words[:, None], {"key_padding_mask": ~of_words}),
        (torch.ones(5, 7, dtype=torch.bool).tril(), {"attn_mask": ~torch.ones(5, 7, dtype=torch.bool).tril()}),
        (None, {}),
    ):
        expected, weights = theirs(x, context, context, average_attn_weights=False, **given)
        torch.testing.assert_close(ours(x, context, mask), expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(ours.weights(x, context, mask), weights, atol=1e-6, rtol=1e-5)


def test_looking_at_itself():
    torch.manual_seed(0)
    block = CrossAttention(12, heads=3)
    x = torch.randn(2, 5, 12)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(block(x), block(x, x))
    torch.testing.assert_close(block(x, mask=causal)[:, :3], block(x[:, :3], mask=causal[:3, :3]))
    assert {name: tuple(p.shape) for name, p in CrossAttention(12, 10, 3).named_parameters()} == {
        "to_q.weight": (12, 12),
        "to_k.weight": (12, 10),
        "to_v.weight": (12, 10),
        "to_out.weight": (12, 12),
        "to_out.bias": (12,),
    }


@both_paths
def test_what_does_not_fit_is_said(path):
    q, k, v = random((2,), 3, 5, 4, 4)
    with pytest.raises(ValueError, match="as many numbers"):
        path(q[..., :3], k, v)
    with pytest.raises(ValueError, match="needs a value"):
        path(q, k, v[:, :3])
    with pytest.raises(ValueError, match="before the last two"):
        path(q, k[:1], v[:1])
    with pytest.raises(ValueError, match="before the last two"):
        path(q[0, 0], k[0, 0], v[0, 0])
    for dtype in (torch.float, torch.long):
        with pytest.raises(ValueError, match="mask is bool"):
            path(q, k, v, torch.ones(3, 5, dtype=dtype))
    for shape in ((3, 4), (4, 5), (3, 3, 5), (1, 2, 3, 5)):
        with pytest.raises(ValueError, match="does not broadcast"):
            path(q, k, v, torch.ones(shape, dtype=torch.bool))


def test_heads_and_contexts_that_do_not_fit_are_said():
    with pytest.raises(ValueError, match="among 5 heads"):
        CrossAttention(12, heads=5)
    block = CrossAttention(12, 10, heads=3)
    x, context = torch.zeros(2, 5, 12), torch.zeros(2, 7, 10)
    with pytest.raises(ValueError, match=r"x must be \(batch, length, 12\), not \(2, 5, 10\)"):
        block(x[..., :10], context)
    with pytest.raises(ValueError, match=r"context must be \(batch, length, 10\), not \(2, 5, 12\)"):
        block(x)
    with pytest.raises(ValueError, match="before the last two"):
        block(x, context[:1])
    with pytest.raises(ValueError, match="does not broadcast"):
        block(x, context, torch.ones(2, 7, dtype=torch.bool))  # words, without mask[:, None]
