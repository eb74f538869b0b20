"""Float32 products on a processor through oneDNN, where it computes them exactly: on some processors in half the time.

torch asks oneDNN for them only when it may round them to bfloat16, which oneDNN does on processors with special units for
that alone, and its fused attention asks for every head by itself. Whether this processor rounds is found out by trying.
Where rounding does no harm, processors that can multiply bfloat16 need half the time once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

EXACT = 1e-5  # by hand; float32 gives some 1e-7, bfloat16 some 1e-3
TRIED = 256  # by hand; of a product large enough for the fast way
BFLOAT16 = ("avx512_bf16", "amx_bf16")


@contextmanager
def fast_products(device: torch.device) -> Iterator[None]:
    """Let products of float32 tensors on a processor run through oneDNN inside, attention among them.

    On other devices, and where oneDNN would round, nothing changes. torch's settings are afterwards as they were.
    """
    if device.type != "cpu" or not _exact():
        yield
        return
    with _allowed(), sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def rounded_products(device: torch.device) -> Iterator[None]:
    """Round what a model multiplies to bfloat16 inside; norms, softmax and sums stay in float32.

    Weights are rounded anew each time, which takes no longer than to keep a second copy of them.
    """
    with fast_products(device), torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
        yield


def multiplies_rounded(device: torch.device) -> bool:
    """Whether a device is a processor that has instructions for products of bfloat16; an older torch cannot tell."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(capabilities.get(name, False) for name in BFLOAT16)


def fast_product(rows: Tensor, columns: Tensor) -> Tensor:
    """Multiply matrices (K, D) and (D, N); float32 ones on a processor through oneDNN, in half the time where K is a handful.

    A single row on a processor is multiplied with each column by itself, which is faster still and uses all threads.
    """
    if rows.device.type != "cpu" or rows.dtype != torch.float32 or columns.shape[1] == 1:
        return rows @ columns
    if len(rows) == 1:
        # Not `columns.T[..., None]`: findings/torch_bmm_stride_of_size_one.sh
        return torch.bmm(rows.expand(columns.shape[1], 1, -1), columns.T[:, None].mT).view(1, -1)
    if not _exact():
        return rows @ columns
    with _allowed():
        return rows @ columns


@cache
def _exact() -> bool:
    """Try whether oneDNN, told that it may round, does, whatever the caller has set: against a product in double precision."""
    if not torch.backends.mkldnn.is_available() or not hasattr(_products(), "fp32_precision"):
        return False
    one, other = torch.rand(2, TRIED, TRIED, generator=torch.Generator().manual_seed(0))
    exact = one.double() @ other.double()
    with torch.autocast("cpu", enabled=False), _allowed():
        return float((one @ other - exact).norm() / exact.norm()) < EXACT


@contextmanager
def _allowed() -> Iterator[None]:
    products = _products()
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


def _products() -> Any:
    """Return torch's settings of oneDNN's products, None in a torch that has none."""
    return getattr(torch.backends.mkldnn, "matmul", None)
