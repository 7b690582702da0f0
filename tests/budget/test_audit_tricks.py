"""The audit is not fooled by networks that behave differently, or compute where nobody looks."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes, _get_current_dispatch_mode

from kwsbench.budget.audit import audit_network
from kwsbench.budget.report import Audit
from kwsbench.errors import InputError
from tests.budget import networks as nets

T, C = nets.FRAMES, nets.CHANNELS
WEIGHT = torch.randn(5, C, generator=torch.Generator().manual_seed(1))
DENSE = 5 * C * T


def _audit(function: Callable[[Tensor], Tensor]) -> Audit:
    return audit_network(nets.Function(function), nets.probes())


def _blocking(audit: Audit) -> str:
    return "; ".join(finding.message for finding in audit.findings if finding.blocks)


def _remarks(audit: Audit) -> str:
    return "; ".join(finding.message for finding in audit.findings if not finding.blocks)


def test_skipping_silence_does_not_help() -> None:
    """A network that skips its work on zeros is counted where it works, and the range is told."""
    audit = _audit(lambda x: WEIGHT @ x if bool(x.abs().max() > 0) else torch.zeros(1, 5, T))
    assert (audit.params, audit.macs) == (5 * C, DENSE)
    assert "0 MACs on zeros, 320 MACs on noise" in _remarks(audit)


def test_skipping_noise_does_not_help() -> None:
    """A network that skips its work on everything but loud input is counted on loud input."""
    audit = _audit(lambda x: WEIGHT @ x if bool(x.abs().max() > 10) else WEIGHT[:1] @ x)
    assert audit.macs == DENSE
    assert _blocking(audit) == ""


def test_another_expert_for_another_input_counts_too() -> None:
    """Weights that only some inputs choose count together."""
    other = torch.randn(5, C)
    audit = _audit(lambda x: (WEIGHT if bool(x.abs().max() > 10) else other) @ x)
    assert (audit.params, _blocking(audit)) == (2 * 5 * C, "")


def _numpy_detour(x: Tensor) -> Tensor:
    return torch.from_numpy(WEIGHT.numpy() @ x.numpy())


def _list_detour(x: Tensor) -> Tensor:
    return torch.tensor([sum(x.flatten().tolist())]) + x


def _item_detour(x: Tensor) -> Tensor:
    return x * (3 * x.max().item() + 2)


def _numpy_in_place(x: Tensor) -> Tensor:
    out = x.clone()
    out.numpy()[0, 0] = np.tanh(x.numpy()[0]).sum(0)
    return out + 1


def _buffer_in_place(x: Tensor) -> Tensor:
    with _disable_current_modes():
        out = torch.empty(1, 5, T)
        torch.matmul(WEIGHT, x, out=out)
    return out + 0 * x[:, :1]


def _class_by_branch(x: Tensor) -> Tensor:
    # All the work in NumPy, the answer by choosing a branch.
    answer = int((WEIGHT.numpy() @ x.numpy()).sum(-1).argmax())
    return x.sum() * 0 + (torch.ones(3) if answer % 2 else torch.zeros(3))


def _class_by_index(x: Tensor) -> Tensor:
    answer = int((WEIGHT.numpy() @ x.numpy()).sum(-1).argmax())
    return x.sum() * 0 + torch.eye(5)[answer]


def _covered_branch(x: Tensor) -> Tensor:
    # Looks at one value through PyTorch, and decides on another one.
    x.sum().item()
    return x.relu() if x.numpy().max() > 1 else x.abs()


def _many_decisions(x: Tensor) -> Tensor:
    values = [value.item() for value in x[0, 0, :8]]
    return x.relu() if sum(values) > 0 else x.abs()


def _class_behind_the_back(x: Tensor) -> Tensor:
    with _disable_current_modes():
        answer = bool((WEIGHT @ x).sum() > 0)
    return x.relu() if answer else x.abs()


DETOURS = {
    _numpy_detour: "tensors that were made outside PyTorch",
    _list_detour: "tensors that were made outside PyTorch",
    _item_detour: "come back as Python numbers",
    _numpy_in_place: "outside PyTorch",
    _buffer_in_place: "tensors that were made outside PyTorch",
    _class_behind_the_back: "read outside PyTorch",
    _class_by_branch: "through numpy()",
    _class_by_index: "come back as Python numbers",
    _covered_branch: "read outside PyTorch",
    _many_decisions: "more than 4 values",
}


@pytest.mark.parametrize("detour", DETOURS, ids=lambda function: function.__name__)
def test_detours_around_pytorch_block(detour: Callable[[Tensor], Tensor]) -> None:
    """Work in NumPy, in Python or behind the audit's back cannot be certified, however its result comes back."""
    assert DETOURS[detour] in _blocking(_audit(detour))


def test_dividing_by_a_value_is_fine_where_it_stays_a_tensor() -> None:
    """Read into Python it could be compared with anything; as a tensor it hides nothing."""
    assert "read into Python" in _blocking(_audit(lambda x: x / (x.abs() + 1).max().item()))
    audit = _audit(lambda x: x / (x.abs() + 1).max())
    assert (audit.macs, _blocking(audit)) == (C * T, "")


def test_a_mask_that_selects_is_a_decision() -> None:
    """A shape that depends on the input is known to have been told, and so nothing is hidden."""
    audit = _audit(lambda x: x[x > 0].sum()[None])
    assert _blocking(audit) == ""


def test_a_result_without_the_input_blocks() -> None:
    """A network whose result does not depend on its input is no model."""
    assert "does not depend on its input" in _blocking(_audit(lambda _: WEIGHT.sum(0)))


def test_hiding_from_the_watch_blocks() -> None:
    """A network that looks for the watch and then behaves otherwise is found out by the plain run."""

    def function(x: Tensor) -> Tensor:
        return WEIGHT @ x if _get_current_dispatch_mode() is None else x

    assert "behaves differently while it is watched" in _blocking(_audit(function))


def test_failing_under_watch_blocks() -> None:
    """A network that refuses to be watched cannot be certified."""

    class Shy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.abs().max() == 0 and _get_current_dispatch_mode() is not None:
                msg = "not now"
                raise RuntimeError(msg)
            return WEIGHT @ x

    assert "fails while it is watched: RuntimeError: not now" in _blocking(audit_network(Shy(), nets.probes()))


def test_a_network_that_always_fails_is_an_error() -> None:
    """A network that takes no such input is the user's mistake, told in one line."""
    with pytest.raises(InputError, match="fails on every input"):
        audit_network(nn.Linear(99, 2), nets.probes())


def test_cheaper_alone_than_in_a_batch_blocks() -> None:
    """A network that does its real work only in batches is found out."""
    audit = _audit(lambda x: WEIGHT @ x if len(x) > 1 else WEIGHT[:1] @ x)
    assert "in a batch of 2" in _blocking(audit) + _remarks(audit)


def test_dearer_on_longer_input_is_told() -> None:
    """A network that works only on longer input is found out by running a longer one."""
    audit = _audit(lambda x: WEIGHT @ x if x.shape[-1] > T else WEIGHT[:1] @ x)
    assert "an input of 24 frames costs" in _remarks(audit)


def test_a_remembered_answer_does_not_help() -> None:
    """A network that remembers its answers is counted when it finds them, and that it remembers is told."""

    class Remembering(nn.Module):
        answers: dict[float, Tensor]

        def __init__(self) -> None:
            super().__init__()
            self.last: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.last is None:
                self.last = WEIGHT @ x
            return self.last + x[:, :1]

    audit = audit_network(Remembering(), nets.probes())
    assert audit.macs == DENSE
    assert "keeps values of one input for the next" in _remarks(audit)


def test_training_mode_is_not_what_counts() -> None:
    """Only evaluation mode is run; a module that stays in training mode is named."""

    class TwoFaced(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if self.training else WEIGHT @ x

    assert audit_network(TwoFaced().train(), nets.probes()).macs == DENSE

    class Stubborn(TwoFaced):
        def train(self, mode: bool = True) -> nn.Module:  # noqa: FBT001, FBT002 - as in PyTorch
            del mode
            return self

    assert "stays in training mode" in _remarks(audit_network(Stubborn(), nets.probes()))


def test_hooks_are_part_of_the_network_and_no_hook_is_set() -> None:
    """What a network's own hooks compute counts, and the audit leaves no hook behind."""
    network = nets.FunctionalLinear()
    network.register_forward_hook(lambda _module, _args, output: output * 2)
    assert audit_network(network, nets.probes()).macs == DENSE + 5 * T
    assert len(network._forward_hooks) == 1
    seen = []
    shy = nets.Function(lambda x: seen.append(len(shy._forward_hooks) + len(shy._forward_pre_hooks)) or x)
    audit_network(shy, nets.probes())
    assert set(seen) == {0}


def test_random_results_are_told() -> None:
    """Noise on the input in evaluation mode is drawn alike in both runs and counted."""
    audit = _audit(lambda x: torch.dropout(x, 0.5, train=True))
    assert "drawn at random" in _remarks(audit)


def test_an_unknown_namespace_blocks() -> None:
    """An operator outside PyTorch's own is named, for its cost is not known."""
    library = torch.library.Library("kwsbench_test", "FRAGMENT")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CPU")
    assert "kwsbench_test::twice" in _blocking(_audit(torch.ops.kwsbench_test.twice))


def test_tensor_subclasses_are_looked_into() -> None:
    """A tensor class that computes in its own dispatch hides nothing: what it executes is seen."""

    class Sly(Tensor):
        @staticmethod
        def __new__(cls: type, inner: Tensor) -> Tensor:
            sly = Tensor._make_wrapper_subclass(cls, inner.shape)
            sly.inner = inner
            return sly

        @classmethod
        def __torch_dispatch__(
            cls, func: object, types: object, args: tuple = (), kwargs: dict | None = None
        ) -> Tensor:
            del cls, func, types, kwargs
            return WEIGHT @ args[0].inner

    audit = _audit(lambda x: torch.relu(Sly(x)))
    assert (audit.params, audit.macs, _blocking(audit)) == (5 * C, DENSE, "")


def test_threads_hide_nothing() -> None:
    """Work in another thread is not seen, so its result cannot be certified."""
    from concurrent.futures import ThreadPoolExecutor

    def function(x: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: WEIGHT @ x).result() + x[:, :1]

    audit = _audit(function)
    assert audit.macs >= DENSE or _blocking(audit)


def test_nothing_is_printed_and_everything_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints, warnings and logs of a network are dropped; switches, seeds and weights are as they were."""

    def function(x: Tensor) -> Tensor:
        print("hello")  # noqa: T201
        print("hello", file=sys.stderr)  # noqa: T201
        warnings.warn("hello", stacklevel=1)
        logging.getLogger("network").error("hello")
        return norm(x)

    norm = nn.BatchNorm1d(C)
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()
    seed = torch.random.get_rng_state()
    audit_network(nets.Function(function, norm=norm), nets.probes())
    assert capsys.readouterr() == ("", "")
    after = torch.get_num_threads(), torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()
    assert before == after
    assert torch.equal(seed, torch.random.get_rng_state())
    assert torch.is_grad_enabled()


def test_state_that_is_written_in_place_is_put_back() -> None:
    """A streaming network that keeps its state in a buffer is counted from its first state, which is left in it."""

    class Streaming(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("state", torch.zeros(1, C, 1))

        def forward(self, x: Tensor) -> Tensor:
            y = torch.cat([self.state, x], 2)
            self.state.copy_(x[:, :, -1:])
            return WEIGHT @ y

    network = Streaming()
    audit = audit_network(network, nets.probes())
    assert (audit.params, audit.macs, _blocking(audit)) == (5 * C + C, 5 * C * (T + 1), "")
    assert float(network.state.abs().max()) == 0


@pytest.mark.parametrize("trick", ["list", "number"])
def test_a_script_cannot_compute_outside_either(trick: str) -> None:
    """TorchScript's own lists and numbers are computed where no operator is seen, and block."""

    class Lists(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            values: list[float] = x.flatten().tolist()
            total = 0.0
            for value in values:
                total += value * 0.5
            return x + torch.tensor([total])

    class Numbers(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (float(x.max()) * 3.0 + 2.0)

    audit = audit_network(nets.as_script(Lists() if trick == "list" else Numbers()), nets.probes())
    assert _blocking(audit) != ""


def test_sparse_weights_are_read() -> None:
    """A sparse weight stores its values and their places."""
    weight = torch.eye(C).to_sparse()
    audit = _audit(lambda x: torch.sparse.mm(weight, x[0]))
    assert audit.params == C + 2 * C or _blocking(audit)
