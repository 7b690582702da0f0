"""Counts of PyTorch's operators, against counts by hand, from the table that defines a MAC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.budget.aten_counting import counted, cplx, real

SIX, ROWS = real(2, 3), real(2, 1)
BY_HAND: dict[str, tuple[Callable[[], Any], int]] = {
    "multiply by a number": (lambda: SIX * 2, 6),
    "multiply by one": (lambda: SIX * 1, 6),
    "multiply that broadcasts": (lambda: ROWS * real(3), 6),
    "multiply in place": (lambda: SIX.clone().mul_(SIX), 6),
    "multiply into a result": (lambda: torch.mul(SIX, SIX, out=real(2, 3)), 6),
    "mask by multiplication": (lambda: SIX * (SIX > 0), 6),
    "multiply integers": (lambda: torch.ones(4, dtype=torch.int64) * 3, 4),
    "multiply booleans": (lambda: torch.ones(4, dtype=torch.bool) * torch.ones(4, dtype=torch.bool), 4),
    "complex by complex": (lambda: cplx(3) * cplx(3), 12),
    "complex by real": (lambda: cplx(3) * real(3), 6),
    "real by a complex number": (lambda: real(3) * 1j, 6),
    "square of complex": (lambda: torch.square(cplx(3)), 12),
    "power": (lambda: SIX**3, 6),
    "divide": (lambda: SIX / 3, 6),
    "divide a number": (lambda: 1 / SIX, 12),
    "remainder": (lambda: SIX % 2, 6),
    "floor-divide": (lambda: SIX // 2, 6),
    "shift": (lambda: torch.ones(4, dtype=torch.int64) << 2, 4),
    "shift in place": (lambda: torch.ones(4, dtype=torch.int64).__ilshift__(2), 4),
    "exp and log": (lambda: torch.log1p(torch.exp(SIX)), 12),
    "sin and cosh": (lambda: torch.sin(torch.cosh(SIX)), 12),
    "silu and gelu": (lambda: functional.silu(functional.gelu(SIX)), 12),
    "leaky relu and prelu": (lambda: functional.prelu(functional.leaky_relu(SIX), real(1)), 12),
    "hardswish, mish": (lambda: functional.mish(functional.hardswish(SIX)), 12),
    "glu": (lambda: functional.glu(real(2, 4)), 4),
    "relu, sigmoid, tanh, clamp, abs": (lambda: SIX.relu().sigmoid().tanh().clamp(0, 1).abs(), 0),
    "elu, softplus, hardsigmoid, erf": (
        lambda: torch.erf(functional.hardsigmoid(functional.softplus(functional.elu(SIX)))),
        0,
    ),
    "scaled elu": (lambda: functional.selu(SIX), 6),
    "compare, choose, sort": (torch.where(SIX > 0, SIX, -SIX).sort()[0].max, 0),
    "add, subtract, sum": (lambda: (SIX + SIX - 1).cumsum(0).sum(), 0),
    "add a multiple": (lambda: torch.add(SIX, SIX, alpha=2), 6),
    "subtract a multiple": (lambda: torch.sub(SIX, SIX, alpha=0.5), 6),
    "add a complex multiple": (lambda: torch.add(cplx(3), cplx(3), alpha=2), 6),
    "add at places, scaled": (lambda: SIX.index_add(0, torch.tensor([0]), real(1, 3), alpha=2), 3),
    "scatter": (lambda: SIX.scatter(1, torch.tensor([[0], [1]]), ROWS), 0),
    "scatter products": (lambda: SIX.scatter_reduce(1, torch.tensor([[0], [1]]), ROWS, "prod"), 2),
    "scatter factors": (lambda: SIX.scatter(1, torch.tensor([[0], [1]]), 2.0, reduce="multiply"), 2),
    "scatter means": (lambda: SIX.scatter_reduce(1, torch.tensor([[0], [1]]), ROWS, "mean"), 6),
    "lerp": (lambda: torch.lerp(SIX, SIX, 0.5), 6),
    "addcmul": (lambda: torch.addcmul(SIX, SIX, SIX), 6),
    "addcdiv, scaled": (lambda: torch.addcdiv(SIX, SIX, SIX, value=2), 12),
    "addmm, scaled": (lambda: torch.addmm(real(2), SIX, SIX.T, beta=2, alpha=3), 12 + 4 + 4),
    "addmm without addend": (lambda: torch.addmm(real(2), SIX, SIX.T, beta=0), 12),
    "addbmm": (lambda: torch.addbmm(real(2, 3), real(5, 2, 4), real(5, 4, 3)), 5 * 2 * 4 * 3),
    "addmv": (lambda: torch.addmv(real(2), SIX, real(3)), 6),
    "addr": (lambda: torch.addr(SIX, real(2), real(3), beta=0.5), 12),
    "dot of complex": (lambda: torch.vdot(cplx(3), cplx(3)), 12),
    "integer matrices": (lambda: torch._int_mm(*[torch.ones(32, 32, dtype=torch.int8)] * 2), 32**3),
    "product": (SIX.prod, 6),
    "running product": (lambda: SIX.cumprod(1), 6),
    "mean of rows": (lambda: SIX.mean(1), 2),
    "deviation of rows": (lambda: SIX.std(1), 6 + 2),
    "mean and variance": (lambda: torch.var_mean(SIX, 1), 6 + 2 + 2),
    "euclidean norm": (lambda: torch.linalg.vector_norm(SIX), 6 + 1),
    "sum of magnitudes": (lambda: torch.linalg.vector_norm(SIX, 1), 0),
    "largest magnitude": (lambda: torch.linalg.vector_norm(SIX, float("inf")), 0),
    "complex norm": (lambda: torch.linalg.vector_norm(cplx(3)), 2 * 3 + 1),
    "magnitudes of complex": (lambda: cplx(5).abs(), 15),
    "sum of exponentials": (lambda: SIX.logsumexp(1), 6 + 2),
    "manhattan distances": (lambda: torch.cdist(real(4, 3), real(2, 3), p=1.0), 0),
    "euclidean distances": (lambda: torch.cdist(real(4, 3), real(2, 3)), 4 * 2 * 3 + 4 * 2),
    "nearest": (lambda: functional.interpolate(real(1, 2, 3), scale_factor=2), 0),
    "linear": (lambda: functional.interpolate(real(1, 2, 3), size=5, mode="linear"), 10 * 2),
    "bicubic": (lambda: functional.interpolate(real(1, 2, 3, 3), size=4, mode="bicubic"), 32 * 16),
    "sampled": (lambda: functional.grid_sample(real(1, 2, 4, 4), real(1, 3, 3, 2), align_corners=False), 18 * 4 + 18),
    "affine grid": (lambda: functional.affine_grid(real(1, 2, 3), [1, 1, 2, 2], align_corners=False), 8 * 3),
    "means of embeddings": (
        lambda: functional.embedding_bag(torch.tensor([[0, 1], [2, 0]]), real(3, 4), mode="mean"),
        8,
    ),
    "weighted embeddings": (
        lambda: functional.embedding_bag(
            torch.tensor([[0, 1], [2, 0]]), real(3, 4), mode="sum", per_sample_weights=real(2, 2)
        ),
        16,
    ),
    "embedding": (lambda: functional.embedding(torch.tensor([0, 2]), real(3, 4)), 0),
    "unfold and fold": (lambda: functional.fold(functional.unfold(real(1, 2, 4, 4), 2), (4, 4), 2), 0),
    "fake quantisation": (lambda: torch.fake_quantize_per_tensor_affine(SIX, 0.1, 0, -128, 127), 6),
    "convolution, batch last": (lambda: torch.conv_tbc(real(9, 2, 4), real(3, 4, 5), real(5)), 7 * 2 * 5 * 4 * 3),
    "transform both ways": (lambda: torch.fft.irfft(torch.fft.rfft(real(2, 512))), 2 * 2 * 512 * 9),
    "real transform of two dimensions": (lambda: torch.fft.rfft2(real(6, 5)), 6 * 5 * 3 + 3 * 2 * 6 * 3),
    "and back": (lambda: torch.fft.irfft2(cplx(4, 5)), 4 * 8 * 3 + 5 * 2 * 4 * 2),
    "list of tensors": (lambda: torch._foreach_mul([real(2), real(3)], [real(2), real(3)]), 5),
    "list by numbers": (lambda: torch._foreach_div([real(2), real(3)], [1.0, 2.0]), 5),
    "list in place": (lambda: torch._foreach_mul_([real(2), real(3)], 2.0), 5),
    "list of norms": (lambda: torch._foreach_norm([real(2), real(3)]), 7),
    "list of sums": (lambda: torch._foreach_add([real(2), real(3)], [real(2), real(3)], alpha=2), 5),
}


@pytest.mark.parametrize(("run", "macs"), BY_HAND.values(), ids=BY_HAND)
def test_an_operator_counts_what_is_counted_by_hand(run: Callable[[], Any], macs: int) -> None:
    """By the table that defines a MAC."""
    assert counted(run).macs == macs
