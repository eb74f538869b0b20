"""AutoSteer's prober: learns what no half-space can, says the same for the same seed, and refuses what it cannot learn from."""

from __future__ import annotations

import pytest
import torch

from safety_steer.directions.prober import HIDDEN, Prober, train_prober
from safety_steer.errors import DataError, MismatchError


def ring(count: int = 200, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Unsafe states on a ring around harmless ones in a plane, far from zero and of uneven scale."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.rand(count, generator=generator) * 2 * torch.pi
    unsafe = torch.stack([turn.cos(), turn.sin()], 1) * 3 + 0.3 * torch.randn(count, 2, generator=generator)
    harmless = 0.7 * torch.randn(count, 2, generator=generator)
    stretch, middle = torch.tensor([100.0, 0.01]), torch.tensor([500.0, -2.0])
    return unsafe * stretch + middle, harmless * stretch + middle


def test_it_learns_a_ring_and_keeps_it_on_other_rows() -> None:
    prober = train_prober(*ring())
    unsafe, harmless = ring(seed=1)
    assert (prober.log_odds(harmless) < 0).double().mean() > 0.97
    assert (prober.scores(unsafe) > 0.5).double().mean() > 0.97
    assert (prober.inner.shape, prober.outer.shape, prober.width) == ((HIDDEN, 2), (2, HIDDEN), 2)


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_one() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = train_prober(*ring()), train_prober(*ring())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.inner, other.inner)
    assert torch.equal(one.outer, other.outer)
    assert not torch.equal(one.inner, train_prober(*ring(), seed=1).inner)


def test_it_trains_in_inference_mode_as_nodes_run() -> None:
    plain = train_prober(*ring())
    with torch.inference_mode():
        assert torch.equal(train_prober(*ring()).inner, plain.inner)


def test_log_odds_by_hand() -> None:
    prober = Prober(torch.tensor([[1.0, -1.0]]), torch.tensor([0.5]), torch.tensor([[0.0], [2.0]]), torch.tensor([1.0, 0.0]))
    states = torch.tensor([[2.0, 1.0], [0.0, 4.0]])
    assert prober.log_odds(states).tolist() == [2.0, -1.0]
    torch.testing.assert_close(prober.scores(states), torch.tensor([2.0, -1.0]).sigmoid())
    with pytest.raises(MismatchError, match="reads states of width 2, but got 3"):
        prober.scores(torch.ones(1, 3))


@pytest.mark.parametrize(
    ("unsafe", "harmless", "said"),
    [
        (torch.ones(20, 3), torch.ones(20, 4), "of one width"),
        (torch.ones(20, 3), torch.ones(9, 3), "at least 10 states"),
        (torch.ones(20, 3), torch.full((20, 3), float("nan")), "NaN"),
    ],
)
def test_what_it_cannot_learn_from_is_one_error(unsafe: torch.Tensor, harmless: torch.Tensor, said: str) -> None:
    with pytest.raises(DataError, match=said):
        train_prober(unsafe, harmless)
