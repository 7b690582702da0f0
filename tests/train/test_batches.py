"""The order of clips and the seeds of batches: of the seed and of nothing else."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.train.batches import batches_of_epoch, made_ahead, seeds_of_batch


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**31 - 1), st.integers(1, 300))
def test_an_epoch_holds_clips_once_in_whole_batches(num_clips: int, size: int, seed: int, epoch: int) -> None:
    """No clip comes twice, every batch is full, and fewer clips than a batch are left out."""
    batches = batches_of_epoch(num_clips, size, seed, epoch)
    clips = [int(clip) for batch in batches for clip in batch]
    assert len(set(clips)) == len(clips) == num_clips // size * size
    assert set(clips) <= set(range(num_clips))
    assert all(len(batch) == size for batch in batches)


def test_the_order_is_that_of_seed_and_epoch() -> None:
    """Equal seed and epoch give the equal order; another seed or epoch gives another one."""
    order = [np.concatenate(batches_of_epoch(100, 10, *key)).tolist() for key in ((1, 1), (1, 1), (1, 2), (2, 1))]
    assert order[0] == order[1]
    assert order[0] != order[2]
    assert order[0] != order[3]
    assert order[2] != order[3]


def test_no_two_batches_share_a_seed() -> None:
    """Seeds differ between runs, epochs, batches and processors, and between torch's generator and the other."""
    keys = [(seed, epoch, batch, rank) for seed in (0, 1) for epoch in (1, 2) for batch in (0, 1, 2) for rank in (0, 1)]
    seeds = [one for key in keys for one in seeds_of_batch(*key)]
    assert len(set(seeds)) == len(seeds) == 2 * len(keys)
    assert all(0 <= one < 2**63 for one in seeds)
    assert seeds_of_batch(3, 4, 5) == seeds_of_batch(3, 4, 5, 0)


@pytest.mark.parametrize("number", [0, 1, 3, 4, 5, 50])
def test_what_is_made_ahead_comes_in_order(number: int) -> None:
    """Whichever thread is done first, parts come in their order, each once."""

    def slow_where_odd(part: int) -> int:
        time.sleep(0.002 * (part % 2))
        return part

    assert list(made_ahead(slow_where_odd, range(number))) == [*range(number)]


def test_no_more_than_a_few_parts_are_made_ahead() -> None:
    """The caller's pace is that of the threads, so that memory does not fill."""
    made: list[int] = []
    parts = made_ahead(made.append, range(50), num_threads=2)
    next(parts)
    time.sleep(0.02)
    assert len(made) <= 5


def test_a_caller_that_would_wait_makes_parts_itself() -> None:
    """While the thread is held up by the first part, the caller makes those that nobody has begun."""
    caller, makers = threading.get_ident(), {}
    others_are_made = threading.Event()

    def make(part: int) -> int:
        makers[part] = threading.get_ident()
        if part == 0:
            assert others_are_made.wait(60)
        if part == 3:
            others_are_made.set()
        return part

    assert list(made_ahead(make, range(4))) == [0, 1, 2, 3]
    assert [makers[part] == caller for part in range(4)] == [False, True, True, True]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_what_fails_while_the_caller_helps_fails_in_its_turn(failing: int) -> None:
    """Parts before the failing one come as they are, whoever has made which."""

    def make(part: int) -> int:
        time.sleep(0.01 * (part == 0))
        if part == failing:
            raise ValueError(part)
        return part

    parts = made_ahead(make, range(5))
    assert [next(parts) for _ in range(failing)] == [*range(failing)]
    with pytest.raises(ValueError, match=str(failing)):
        next(parts)


def test_what_fails_in_a_thread_fails_here() -> None:
    """The error of a part comes when its turn comes, and the rest is not made."""
    parts = made_ahead(lambda part: 1 / (3 - part), range(100))
    assert [next(parts) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(parts)
