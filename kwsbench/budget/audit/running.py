"""Runs a network on a probe: plainly, or under watch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.audit.lineage import Lineage, Record, parts_of
from kwsbench.budget.audit.operators import tensors_in
from kwsbench.budget.audit.places import Stack
from kwsbench.budget.audit.quantisers import Quantisers
from kwsbench.budget.audit.recording import Recording
from kwsbench.budget.audit.state import State
from kwsbench.budget.audit.stored_names import Stored, address_of, stored_in
from kwsbench.budget.audit.surroundings import AUDITED_SEED, seed_everything
from kwsbench.budget.audit.trace import TRUTH, Run, Telling
from kwsbench.budget.reach import Reach
from kwsbench.checkpoint.stored import view_of


class Subject:
    """A network that is audited, with all that is remembered of it between runs.

    Args:
        network: A module in evaluation mode.

    Attributes:
        network: The same.
        stored: The tensors that belong to it.
        quantisers: Its modules that imitate low precision.
        lineage: The storages that were seen so far.
        compiles_first: Its first run executes more than the others.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.stored: list[Stored] = stored_in(network)
        self.quantisers = Quantisers(network)
        self.lineage = Lineage()
        self.compiles_first = _is_script(network)
        self._stack = Stack({id(module): path for path, module in network.named_modules()})
        self._state = State(network, self.stored)

    def run_plainly(self, probe: NDArray[Any]) -> bytes:
        """Runs on a probe without looking, from the state at the start; returns a hash of the result."""
        self._start()
        return _digest(self.network(_input(probe)))

    def restore(self) -> None:
        """Puts the network back into the state at the start."""
        self._state.restore()

    def run_as_used(self, probe: NDArray[Any], seed: int) -> Any:
        """Runs on a probe without looking; returns the first tensor of the result."""
        self._start(seed=seed)
        return next(tensors_in(self.network(_input(probe))), None)

    @property
    def has_changed(self) -> bool:
        """Whether the run before has left anything behind."""
        return self._state.has_changed()

    @property
    def plain_values(self) -> list[Any]:
        """Numbers and texts among the attributes, and the lengths of lists, as they are now."""
        return self._state.plain_values()

    def watch(
        self,
        name: str,
        probe: NDArray[Any],
        *,
        telling: Telling = TRUTH,
        starts_afresh: bool = True,
        verifies: bool = True,
    ) -> Run:
        """Runs on a probe and records every operator.

        Args:
            name: What the probe is.
            probe: The input.
            telling: What Python is told in place of what is there.
            starts_afresh: From the state at the start, not from that which the run before has left.
            verifies: Notice what changes unseen.
        """
        from kwsbench.budget.audit.leaks import Leaks
        from kwsbench.budget.audit.watch import Watch

        run, example = Run(name), _input(probe)
        self.lineage.start_run(verifies=verifies)
        heard = self.lineage.add(example, depends=True)
        heard.reach, heard.born = Reach(), -1
        self._start(afresh=starts_afresh)
        recording = Recording(run, self.lineage, self._stack, self.quantisers, telling)
        with Leaks(recording), Watch(recording):
            result = self.network(example)
        self._finish(run, result)
        return run

    def _start(self, *, afresh: bool = True, seed: int = AUDITED_SEED) -> None:
        if afresh:
            self._state.restore()
            self.lineage.forget(map(address_of, (one.tensor for one in self.stored)))
        seed_everything(seed)

    def _finish(self, run: Run, result: Any) -> None:
        tensors = list(tensors_in(result))
        for part in [part for tensor in tensors for part in parts_of(tensor)]:
            seen = len(self.lineage.newly_read)
            record = self.lineage.record_of(part)
            record.last_used = len(run.calls)
            run.stored += [(len(run.calls), root, digest) for root, digest in self.lineage.newly_read[seen:]]
            run.output_depends = run.output_depends or record.depends
            if record.root is not None:
                record.root.views.add(view_of(part))
        run.output = tensors[0].clone() if tensors else None
        run.output_digest = _digest(result)
        run.carried = self.lineage.carried
        run.peak_bytes = _peak_bytes(self.lineage.appeared)


def _is_script(network: Any) -> bool:
    import torch

    return isinstance(network, torch.jit.ScriptModule)


def _input(probe: NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(np.array(probe, order="C"))


def _digest(result: Any) -> bytes:
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors_in(result):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.layout == torch.strided:
            dense = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
            digest.update(dense.view(torch.uint8).numpy().tobytes())
    return digest.digest()


def _peak_bytes(records: Iterable[Record]) -> int:
    # What is never used, such as the indices that a max-pool also gives, is not needed.
    changes: dict[int, int] = {}
    for record in records:
        if record.depends and record.root is None and record.last_used > record.born:
            changes[record.born] = changes.get(record.born, 0) + record.num_bytes
            changes[record.last_used + 1] = changes.get(record.last_used + 1, 0) - record.num_bytes
    alive = np.cumsum([changes[moment] for moment in sorted(changes)])
    return int(alive.max(initial=0))
