"""Products through oneDNN: as exact as torch's own, only where they are, and torch's settings are put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from safety_steer import fast_products as module
from safety_steer.fast_products import fast_product, fast_products, multiplies_rounded, rounded_products

CPU = torch.device("cpu")


def settings() -> tuple[str, bool]:
    """What `fast_products` may change: how float32 products are computed, and whether attention is fused."""
    return torch.backends.mkldnn.matmul.fp32_precision, torch.backends.cuda.flash_sdp_enabled()


def test_products_and_attention_are_as_exact_as_without() -> None:
    generator = torch.Generator().manual_seed(1)
    one, other = torch.randn(2, 300, 300, generator=generator)
    query, key, value = torch.randn(3, 2, 4, 40, 32, generator=generator)
    with fast_products(CPU):
        product, attended = one @ other, torch.nn.functional.scaled_dot_product_attention(query, key, value)
    exact = one.double() @ other.double()
    assert float((product - exact).norm() / exact.norm()) < module.EXACT
    whole = torch.nn.functional.scaled_dot_product_attention(query.double(), key.double(), value.double())
    assert torch.allclose(attended.double(), whole, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(1, 300, 40), (7, 300, 40), (7, 300, 1), (1, 300, 1), (0, 300, 40), (7, 300, 0), (1, 300, 0)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("turned", [False, True])
def test_a_product_of_few_rows_is_as_exact(shape: tuple[int, int, int], dtype: torch.dtype, turned: bool) -> None:
    before, (rows, inner, columns) = settings(), shape
    generator = torch.Generator().manual_seed(2)
    one = torch.randn(rows, inner, generator=generator, dtype=dtype)
    other = torch.randn(columns, inner, generator=generator, dtype=dtype).T
    product = fast_product(one, other if turned else other.contiguous())
    assert product.dtype == dtype
    torch.testing.assert_close(product.double(), one.double() @ other.double(), atol=1e-4, rtol=1e-5)
    assert settings() == before


def test_settings_are_put_back_after_an_error_too() -> None:
    before = settings()
    with pytest.raises(KeyError), fast_products(CPU):
        raise KeyError
    assert settings() == before


def test_a_processor_that_rounds_and_other_devices_keep_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    with fast_products(torch.device("meta")):
        assert settings() == before

    @contextmanager
    def rounding() -> Iterator[None]:
        with torch.autocast("cpu", torch.bfloat16):
            yield

    module._exact.cache_clear()
    try:
        monkeypatch.setattr(module, "_allowed", rounding)
        assert not module._exact()
        with fast_products(CPU):
            assert settings() == before
    finally:
        monkeypatch.undo()
        module._exact.cache_clear()


def test_a_torch_without_these_settings_keeps_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_products", lambda: None)
    module._exact.cache_clear()
    try:
        with fast_products(CPU):
            assert float(torch.ones(2, 2) @ torch.ones(2) @ torch.ones(2)) == 4
    finally:
        module._exact.cache_clear()


def test_rounded_products_round_what_is_multiplied_and_nothing_afterwards() -> None:
    before, layer = settings(), torch.nn.Linear(64, 64)
    rows = torch.randn(8, 64, generator=torch.Generator().manual_seed(3))
    exact = layer(rows)
    with rounded_products(CPU):
        assert layer(rows).dtype == torch.bfloat16
        assert torch.nn.functional.layer_norm(rows, (64,)).dtype == torch.float32
    assert torch.equal(layer(rows), exact)
    assert settings() == before


def test_only_a_processor_that_is_known_to_multiply_bfloat16_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert multiplies_rounded(CPU)
    assert not multiplies_rounded(torch.device("meta"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "avx512_f": True}, raising=False)
    assert not multiplies_rounded(CPU)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not multiplies_rounded(CPU)


def test_whether_a_processor_rounds_is_found_out_without_the_callers_own_rounding() -> None:
    module._exact.cache_clear()
    expected = module._exact()
    module._exact.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):
        assert module._exact() == expected
