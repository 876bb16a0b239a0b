"""The general EM: what it returns, when it stops, and that it tells of a bound that falls."""

from __future__ import annotations

import math

import pytest
import torch

from isthmus.mixtures import em

HEADS = torch.tensor([5.0, 9, 8, 4, 7], dtype=torch.float64)


def e_step(coins):
    joint = HEADS[:, None] * coins.log() + (10 - HEADS[:, None]) * (1 - coins).log() + math.log(0.5)
    return joint.softmax(dim=1), joint.logsumexp(dim=1).mean()


def m_step(share):
    return (share * HEADS[:, None]).sum(dim=0) / (10 * share.sum(dim=0))


START = torch.tensor([0.6, 0.5], dtype=torch.float64)


def test_two_coins_as_published():
    # Do and Batzoglou (2008), What is the expectation maximization algorithm? Nature Biotechnology 26: 0.80 and 0.52.
    found = em(e_step, m_step, START, tolerance=1e-8, max_iter=1000)
    assert found.converged
    assert found.parameters.tolist() == pytest.approx([0.80, 0.52], abs=0.005)
    assert found.largest_fall == 0
    gains = torch.tensor(found.bounds).diff()
    assert (gains > -1e-12).all()
    assert len(found.bounds) == found.n_steps + 1
    assert found.bounds[-1] == pytest.approx(float(e_step(found.parameters)[1]), rel=1e-15)
    # A fixed point of the likelihood itself: its gradient is 0 there.
    coins = em(e_step, m_step, START, tolerance=0, max_iter=5000).parameters.requires_grad_()
    (gradient,) = torch.autograd.grad(e_step(coins)[1], coins)
    assert gradient.abs().max() < 1e-6


def test_steps_are_counted_and_may_be_none():
    short = em(e_step, m_step, START, tolerance=0, max_iter=3)
    assert (short.n_steps, len(short.bounds), short.converged) == (3, 4, False)
    none = em(e_step, m_step, START, max_iter=0)
    assert none.parameters is START
    assert len(none.bounds) == 1


def test_several_starts_at_once_stop_when_the_last_has_converged():
    def both(coins):
        shares, bounds = zip(*map(e_step, coins), strict=True)
        return torch.stack(shares), torch.stack(bounds)

    starts = torch.stack([START, torch.tensor([0.2, 0.9], dtype=torch.float64)])
    found = em(both, lambda shares: torch.stack([m_step(share) for share in shares]), starts, tolerance=1e-10)
    each = [em(e_step, m_step, start, tolerance=1e-10) for start in starts]
    assert found.n_steps == max(one.n_steps for one in each)
    assert len(found.bounds[0]) == 2
    assert found.converged


def test_a_bound_that_falls_is_told():
    found = em(lambda x: (x, -x), lambda x: x + 1.0, 0.0, max_iter=5)
    assert found.largest_fall == 1
    assert not found.converged
    assert found.n_steps == 5


def test_what_is_no_bound_and_no_setting():
    with pytest.raises(ValueError, match="Expected a bound that is a number, got nan after 0 steps"):
        em(lambda x: (x, math.nan), lambda x: x, 0.0)
    with pytest.raises(ValueError, match="Expected tolerance and max_iter >= 0, got -1 and 100"):
        em(e_step, m_step, START, tolerance=-1)
