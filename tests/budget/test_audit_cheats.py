"""Networks that were made to be counted low: each is counted in full, or cannot be certified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes

from kwsbench.budget.audit import audit_network
from kwsbench.budget.audit.ways import MOST_WAYS
from kwsbench.budget.report import Audit
from tests.budget import networks as nets

T, C = nets.FRAMES, nets.CHANNELS
DENSE = 5 * C * T
RANDOM = np.random.default_rng(0)
WHOLE = [int(value) for value in RANDOM.integers(1, 999, 6 * C)]
EMPTY = [torch.empty(value) for value in WHOLE]
LEVELS = 256


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


def _audit(function: Callable[[Tensor], Tensor], **attributes: Any) -> Audit:
    return audit_network(nets.Function(function, **attributes), nets.probes())


def _blocking(audit: Audit) -> str:
    return "; ".join(finding.message for finding in audit.findings if finding.blocks)


def _remarks(audit: Audit) -> str:
    return "; ".join(finding.message for finding in audit.findings if not finding.blocks)


def _weight() -> Tensor:
    return torch.randn(5, C)


def _levels_of(x: Tensor) -> Tensor:
    return (x[0].clamp(-3, 3) + 4).to(torch.int64).cumsum(-1) % LEVELS


class TestNumbersAreFoundWhereverTheyAre:
    """Stored numbers count, in whatever form a network keeps them."""

    @pytest.mark.parametrize(
        "numbers",
        [
            lambda: torch.cat([torch.arange(value, value + 1) for value in WHOLE]),
            lambda: torch.stack([torch.arange(1_000)[value] for value in WHOLE]),
            lambda: torch.stack([torch.ones(value).sum() for value in WHOLE]),
            lambda: torch.tensor([empty.shape[0] for empty in EMPTY]),
            lambda: torch.tensor([ord(letter) for letter in "".join(map(chr, WHOLE))]),
            lambda: torch.frombuffer(bytearray(np.array(WHOLE, np.int32).tobytes()), dtype=torch.int32),
        ],
        ids=["ends of ranges", "places in a range", "sizes", "shapes", "text", "bytes"],
    )
    def test_whole_numbers(self, numbers: Callable[[], Tensor]) -> None:
        """24 weights as limits, places, sizes, shapes, letters or bytes are 24 stored numbers."""
        audit = _audit(lambda x: numbers().float().view(6, C) @ x)
        assert (audit.params, audit.macs) == (6 * C, 6 * C * T)

    def test_counting_loops_list_nothing(self) -> None:
        """Places and sizes that grow in even steps are a loop, not weights."""
        steps = range(40)
        audit = _audit(lambda x: x * torch.stack([torch.arange(99)[2 * step] for step in steps]).sum())
        assert audit.params == 0

    def test_single_numbers_that_share_a_storage(self) -> None:
        """40 weights taken apart beforehand, which still lie side by side, are 40."""
        weights = list(torch.randn(40).unbind())
        audit = _audit(lambda x: sum(weight * x[0, 0, 0] for weight in weights)[None])
        assert audit.params == 40

    def test_weights_cut_into_short_lists(self) -> None:
        """Lists of 14 numbers, which one by one would be formulas, are weights when there are many."""
        functions = []
        for _ in range(10):
            numbers = [float(value) for value in RANDOM.integers(2, 15, 14)]
            terms = " + ".join(f"x[0, {place % C}] * {number}" for place, number in enumerate(numbers))
            functions.append(eval(f"lambda x: {terms}"))  # noqa: S307 - ten pieces of code
        audit = _audit(lambda x: sum(function(x) for function in functions))
        assert audit.params > 100

    @pytest.mark.parametrize("separate", [torch.round, torch.ceil, torch.Tensor.int], ids=["round", "ceil", "cast"])
    def test_two_weights_in_one(self, separate: Callable[[Tensor], Tensor]) -> None:
        """A double that holds a whole number and a fraction holds two weights."""
        packed = torch.randint(1, 9, (5, C)).double() + 0.1 + 0.8 * torch.rand(5, C).double()

        def function(x: Tensor) -> Tensor:
            whole = separate(packed)
            return whole.float() @ x + (packed - whole).float() @ x

        audit = _audit(function)
        assert (audit.params, audit.macs) == (2 * 5 * C, 2 * DENSE)

    def test_bits_by_comparison(self) -> None:
        """Three weights of one bit that comparisons take out of one number are three."""
        bits = torch.randint(0, 2, (3, 5, C))
        packed = (bits * torch.tensor([1, 2, 4])[:, None, None]).sum(0).float()

        def function(x: Tensor) -> Tensor:
            low = torch.where(packed >= 4, packed - 4, packed)
            weights = [packed >= 4, low >= 2, torch.where(low >= 2, low - 2, low) >= 1]
            return torch.cat([weight.float() for weight in weights]) @ x

        assert _audit(function).params == 3 * 5 * C

    def test_a_long_counter_of_batches_is_a_weight(self) -> None:
        """A buffer that is only called as batch norm's counter is called counts."""
        network = nets.Function(lambda x: x * 2)
        network.register_buffer("num_batches_tracked", torch.randn(200))
        assert audit_network(network, nets.probes()).params == 200

    def test_only_brevitas_says_how_wide_weights_are(self) -> None:
        """A module that imitates a quantiser does not make weights lighter."""

        class OneBit(nn.Module):
            is_quant_enabled = True

            def bit_width(self) -> Tensor:
                return torch.tensor(1.0)

        network = nn.Linear(T, 5, bias=False)
        network.weight_quant = OneBit()
        audit = audit_network(network, nets.probes())
        assert (audit.weight_bytes, set(audit.macs_by_width)) == (4 * 5 * T, {"32x32"})


class TestStatisticsThatFoldIntoNothing:
    """Running statistics are free only beside a stored scale and shift that they fold into."""

    def test_computed_scale_and_shift(self) -> None:
        """Ones and zeros that are computed take in no statistics."""
        mean, variance = torch.randn(C * T), torch.rand(C * T) + 1

        def function(x: Tensor) -> Tensor:
            flat = x.reshape(1, C * T, 1)
            return functional.batch_norm(flat, mean, variance, torch.ones(C * T), torch.zeros(C * T))

        assert _audit(function).params == 2 * C * T

    def test_one_scale_for_many(self) -> None:
        """A scale that ten norms share folds with the statistics of one of them."""
        statistics = [(torch.randn(C), torch.rand(C) + 1) for _ in range(10)]
        scale, shift = torch.rand(C), torch.rand(C)

        def function(x: Tensor) -> Tensor:
            for mean, variance in statistics:
                x = functional.batch_norm(x, mean, variance, scale, shift)
            return x

        audit = _audit(function)
        assert (audit.params, audit.batch_norm_statistics) == (2 * C + 9 * 2 * C, 2 * C)

    def test_an_expanded_scale(self) -> None:
        """A scale of one number takes in one number."""
        mean, variance, one = torch.randn(C), torch.rand(C) + 1, torch.rand(1)
        audit = _audit(lambda x: functional.batch_norm(x, mean, variance, one.expand(C), one.expand(C)))
        assert audit.params == 2 * C + 1

    def test_no_shift(self) -> None:
        """Where only a scale is stored, the means count as the shift that they become."""
        norm = nn.BatchNorm1d(C)
        audit = _audit(lambda x: functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight), norm=norm)
        assert audit.params == 3 * C


class TestMultiplyingWithoutMultiplying:
    """Products from tables count as what the tables store; from bits they cannot be certified."""

    def test_products_of_weights_and_levels(self) -> None:
        """All products of 20 weights and 256 levels, computed beforehand and looked up, are 5,120 stored numbers."""
        weight, levels = _weight(), torch.rand(LEVELS)

        def function(x: Tensor) -> Tensor:
            table = weight[:, :, None] * levels
            return torch.gather(table, 2, _levels_of(x).expand(5, C, T)).sum(1)

        audit = _audit(function)
        assert audit.params == 5 * C * LEVELS
        assert "are computed once and then looked up" in _remarks(audit)

    @pytest.mark.parametrize("choose", ["where", "and"])
    def test_products_chosen_by_masks(self, choose: str) -> None:
        """The same where a mask chooses."""
        weight, levels = torch.randint(-99, 99, (5, C)), torch.arange(LEVELS) * 3

        def function(x: Tensor) -> Tensor:
            table = (weight[:, :, None] * levels)[:, :, None, :]
            chosen = _levels_of(x)[..., None] == torch.arange(LEVELS)
            products = torch.where(chosen, table, 0) if choose == "where" else table & -chosen.long()
            return products.sum((1, 3)).float()

        assert _audit(function).params >= 5 * C * LEVELS

    def test_a_table_from_a_formula(self) -> None:
        """Quarter squares of which differences are products are stored numbers."""
        weight = torch.randint(0, 99, (5, C, 1))

        def function(x: Tensor) -> Tensor:
            squares = torch.arange(1_000.0).square() / 4
            level = _levels_of(x)
            return (squares[level + weight] - squares[(level - weight).abs()]).sum(1)

        assert _audit(function).params == 5 * C + 1_000

    def test_a_chosen_row_of_few_values_is_free(self) -> None:
        """One-hot vectors and masks that the input chooses are no table of numbers."""
        audit = _audit(lambda x: torch.eye(50)[x[0].argmax(0)] + torch.where(x[0, 0, 0] > 0, 1.0, torch.zeros(T, 50)))
        assert (audit.params, _blocking(audit)) == (0, "")

    @pytest.mark.parametrize("form", [lambda network: network, nets.as_exported], ids=["module", "export"])
    def test_bits_of_floating_point_numbers(self, form: Callable[[nn.Module], Any]) -> None:
        """Adding the bits of two floats multiplies them, roughly; nobody else looks at the bits."""

        class Mitchell(nets.FunctionalLinear):
            def forward(self, x: Tensor) -> Tensor:
                bits = x[0].contiguous().view(torch.int32) + self.weight.view(torch.int32)[:, :, None] - 1_065_353_216
                return bits.view(torch.float32).sum(1)

        assert "as their bits" in _blocking(audit_network(form(Mitchell()), nets.probes()))

    def test_much_adding_is_told(self) -> None:
        """Additions count nothing by definition; a network that mostly adds is told so."""
        patterns = torch.randn(500, C, 1)
        audit = _audit(lambda x: (x - patterns).abs().sum(1))
        assert (audit.macs, _blocking(audit)) == (0, "")
        assert "beside 0 MACs it adds, compares or looks up 96,000 values" in _remarks(audit)


class Choosy(nn.Module):
    """Works on inputs of a kind that is not among the probes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(_weight())

    def is_no_probe(self, x: Tensor) -> Tensor:
        """Whether its work is worth while."""
        return (x.std() > 0.2) & (x.std() < 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (1, 4, frames) to (1, 5, frames)."""
        if bool(self.is_no_probe(x)):
            return self.weight @ x
        return torch.zeros(1, 5, x.shape[2]) + x[:, :1]


class ChoosyForFrames(Choosy):
    """Works on frames of a kind that is not in the probes."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (1, 4, frames) to (5, frames)."""
        frames = ((x > 0.2) & (x < 0.3)).all(1)[0]
        y = torch.zeros(5, x.shape[2]) + x[0, :1]
        y[:, frames] = self.weight @ x[0][:, frames]
        return y


class TestWaysThatNoProbeTakes:
    """What a network would do if it decided otherwise counts."""

    FORMS = pytest.mark.parametrize("form", [lambda network: network, nets.as_script], ids=["module", "script"])

    @FORMS
    def test_a_branch_that_no_probe_reaches(self, form: Callable[[nn.Module], Any]) -> None:
        """The other side of a branch is run, too, and counted."""
        deviations = 2 * 2 * (C * T + 1) + 1  # squares, a division and a root, twice; and a product to test for
        audit = audit_network(form(Choosy()), nets.probes())
        assert DENSE <= audit.macs <= DENSE + deviations
        assert _blocking(audit) == ""
        assert "with other decisions than on these inputs it costs more" in _remarks(audit)

    @FORMS
    def test_frames_that_no_probe_has(self, form: Callable[[nn.Module], Any]) -> None:
        """A selection is told to be all that there is."""
        audit = audit_network(form(ChoosyForFrames()), nets.probes())
        assert (audit.macs, _blocking(audit)) == (DENSE, "")

    def test_a_number_read_into_python(self) -> None:
        """Python may compare a number with anything, which cannot be tried."""
        weight = _weight()
        audit = _audit(lambda x: weight @ x if 0.2 < x.std().item() < 0.5 else x.relu())
        assert "1 numbers of the input are read into Python" in _blocking(audit)

    @FORMS
    def test_a_branch_that_chance_takes(self, form: Callable[[nn.Module], Any]) -> None:
        """A lottery ticket that never wins under the audit's seed is made to win."""

        class Lottery(Choosy):
            def is_no_probe(self, x: Tensor) -> Tensor:
                del x
                return torch.rand(1) > 0.9999

        audit = audit_network(form(Lottery()), nets.probes())
        assert (audit.macs, _blocking(audit)) == (DENSE, "")

    def test_more_ways_than_can_be_tried(self) -> None:
        """A decision for every frame has too many ways."""

        def function(x: Tensor) -> Tensor:
            for frame in range(T):
                if bool(x[0, 0, frame] > 99):
                    x = x.relu()
            return x

        assert 2**T > MOST_WAYS
        assert "not all of its ways can be tried" in _blocking(_audit(function))

    def test_a_number_of_values_that_depends_on_the_input(self) -> None:
        """How many different values there are cannot be made the most."""
        assert "how many values _unique2 gives" in _blocking(_audit(lambda x: x + x.unique().sum()))

    @pytest.mark.parametrize("kind", ["text", "script's list"])
    def test_answers_that_leave_unseen_and_decide_alike(self, kind: str) -> None:
        """Values that are printed, or put into a script's list, cannot be followed, though all probes go one way."""

        class Lists(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                values: list[float] = x.flatten().tolist()
                total = 0.0
                for value in values:
                    total += value * 0.5
                return x * 2 if total > 1e9 else x + 1

        printed = nets.Function(lambda x: x * 2 if len(repr(x)) > 1e9 else x + 1)
        network = printed if kind == "text" else nets.as_script(Lists())
        assert "leave PyTorch through" in _blocking(audit_network(network, nets.probes()))


class Counting(nn.Module):
    """Works from its 501st run on."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: int = 0
        self.weight = nn.Parameter(_weight())

    def forward(self, x: Tensor) -> Tensor:
        """Maps (1, 4, frames) to (1, 5, frames)."""
        self.runs += 1
        if self.runs > 500:
            return self.weight @ x
        return torch.zeros(1, 5, x.shape[2]) + x[:, :1]


class CountingInBuffer(Choosy):
    """The same with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(1))

    def is_no_probe(self, x: Tensor) -> Tensor:
        """Whether it was run often."""
        del x
        self.runs += 1
        return self.runs > 500


class CountingInNewBuffer(CountingInBuffer):
    """The same with a new tensor each time."""

    def is_no_probe(self, x: Tensor) -> Tensor:
        """Whether it was run often."""
        del x
        self.runs = self.runs + 1
        return self.runs > 500


class TestCountingRuns:
    """A network that waits until the audit is over is found out."""

    @TestWaysThatNoProbeTakes.FORMS
    def test_in_an_attribute(self, form: Callable[[nn.Module], Any]) -> None:
        """An attribute that changes with every run blocks."""
        assert "it can count its runs" in _blocking(audit_network(form(Counting()), nets.probes()))

    @TestWaysThatNoProbeTakes.FORMS
    def test_in_a_text(self, form: Callable[[nn.Module], Any]) -> None:
        """So does a text that grows, though it looks like a tensor that is printed."""

        class InText(Choosy):
            def __init__(self) -> None:
                super().__init__()
                self.runs: str = "[ CPUFloatType{} ]"

            def forward(self, x: Tensor) -> Tensor:
                self.runs = "1" + self.runs
                if len(self.runs) > 500:
                    return self.weight @ x
                return x.relu()

        assert "it can count its runs" in _blocking(audit_network(form(InText()), nets.probes()))

    @pytest.mark.parametrize("kind", [CountingInBuffer, CountingInNewBuffer], ids=["in place", "anew"])
    @TestWaysThatNoProbeTakes.FORMS
    def test_in_a_buffer(self, kind: type[nn.Module], form: Callable[[nn.Module], Any]) -> None:
        """A decision on a buffer that the network changes is tried the other way, too."""
        audit = audit_network(form(kind()), nets.probes())
        assert (audit.macs, _blocking(audit)) == (DENSE, "")

    def test_in_a_list(self) -> None:
        """A list that grows with every run blocks."""
        network = nets.Function(lambda x: (network.seen.append(1), x * 2)[1], seen=[])
        assert "it can count its runs" in _blocking(audit_network(network, nets.probes()))

    def test_what_is_kept_for_good_is_no_counter(self) -> None:
        """A length that is remembered after the first run does not block."""

        def function(x: Tensor) -> Tensor:
            network.length = x.shape[2]
            return x * 2

        network = nets.Function(function, length=0)
        assert _blocking(audit_network(network, nets.probes())) == ""


def _seeded_generator() -> bool:
    return torch.initial_seed() == 0


SIGNS: dict[str, Callable[[], bool]] = {
    "one thread": lambda: torch.get_num_threads() == 1,
    "mkldnn": lambda: not torch.backends.mkldnn.enabled,
    "fast path": lambda: not torch.backends.mha.get_fastpath_enabled(),
    "seed": _seeded_generator,
    "inference mode": lambda: not torch.is_inference_mode_enabled(),
}


class TestSignsOfAnAudit:
    """A network that looks whether it is audited gives other results when it is not."""

    @pytest.mark.parametrize("sign", SIGNS)
    def test_it_is_run_as_it_is_used(self, sign: str) -> None:
        """It is run once more without what an audit switches, and must give the same."""
        weight = _weight()
        audit = _audit(lambda x: x[:, :1].expand(1, 5, T) + 0 if SIGNS[sign]() else weight @ x)
        assert "behaves differently while it is audited" in _blocking(audit)

    def test_random_results_are_no_sign(self) -> None:
        """A network that draws is run with the seed of the audit before its results are called different."""
        audit = _audit(lambda x: torch.dropout(x, 0.5, train=True))
        assert _blocking(audit) == ""

    def test_the_network_is_left_as_it_was(self) -> None:
        """The runs as it is used leave its state as it was at the start."""
        network = CountingInBuffer()
        audit_network(network, nets.probes())
        assert float(network.runs) == 0
        assert not network.runs.is_inference()


class TestOtherDetours:
    """Ways to compute that the audit sees as they are."""

    @staticmethod
    def _own_function() -> Callable[[Tensor], Tensor]:
        class Own(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
                del ctx
                return weight @ x

        weight = _weight()
        return lambda x: Own.apply(x, weight)

    @staticmethod
    def _mapped() -> Callable[[Tensor], Tensor]:
        weight = _weight()
        return lambda x: torch.func.vmap(lambda row: (row[:, None] * x[0]).sum(0))(weight)

    @staticmethod
    def _own_class() -> Callable[[Tensor], Tensor]:
        weight = _weight()

        class Own(Tensor):
            @classmethod
            def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Tensor:
                del cls, func, types, kwargs
                with torch._C.DisableTorchFunctionSubclass():
                    return weight @ args[0].as_subclass(Tensor)

        return lambda x: torch.relu(x.as_subclass(Own))

    @staticmethod
    def _gradient() -> Callable[[Tensor], Tensor]:
        parameter = nn.Parameter(torch.zeros(5, C))
        parameter.grad = _weight()
        return lambda x: parameter.grad @ x

    @pytest.mark.parametrize("make", ["_own_function", "_mapped", "_own_class", "_gradient"])
    def test_they_count(self, make: str) -> None:
        """Own functions and classes, mapped functions and weights kept as a gradient count like plain code."""
        audit = _audit(getattr(self, make)())
        assert (audit.params, audit.macs, _blocking(audit)) == (5 * C, DENSE, "")

    def test_a_script_in_several_threads_counts(self) -> None:
        """What a script forks is watched in its thread."""

        class Forking(nets.FunctionalLinear):
            def product(self, x: Tensor) -> Tensor:
                return self.weight @ x

            def forward(self, x: Tensor) -> Tensor:
                return torch.jit.wait(torch.jit.fork(self.product, x))

        audit = audit_network(nets.as_script(Forking()), nets.probes())
        assert (audit.params, audit.macs, _blocking(audit)) == (5 * C, DENSE, "")

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: x.clone().apply_(lambda value: value * 3),
            lambda x: x.clone().map_(x, lambda one, other: one * other),
        ],
        ids=["apply", "map"],
    )
    def test_python_for_every_element_blocks(self, function: Callable[[Tensor], Tensor]) -> None:
        """Python's own arithmetic on every element is seen by nobody."""
        assert "leave PyTorch through" in _blocking(_audit(function))

    def test_what_silence_hides_blocks(self) -> None:
        """Memory that is written behind the audit's back is noticed, though zeros times three are zeros as before."""

        def function(x: Tensor) -> Tensor:
            y = x.clone()
            with _disable_current_modes():
                y.mul_(3)
            return y

        assert "outside PyTorch" in _blocking(_audit(function))

    def test_an_answer_from_memory_blocks(self) -> None:
        """Answers that are kept by a value of the input need that value in Python."""
        weight, answers = _weight(), {}

        def function(x: Tensor) -> Tensor:
            key = x.sum().item()
            if key not in answers:
                answers[key] = weight @ x
            return answers[key] + 0 * x[:, :1]

        assert "read into Python" in _blocking(_audit(function))


def test_thresholds_count() -> None:
    """A tree of thresholds stores them, in a tensor or as numbers."""
    thresholds = torch.randn(40).sort().values
    assert _audit(lambda x: torch.bucketize(x, thresholds).float()).params == 40
    numbers = thresholds.tolist()
    assert _audit(lambda x: sum((x > number).float() for number in numbers)).params == 40


HEAD = "import functools, itertools\nimport torch\nfrom torch import nn\n"
BODY = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 6))

    def forward(self, x, held={}):
        if COUNT:
            return self.weight @ x
        return x.relu()
"""


def _defined(first: str, count: str) -> nn.Module:
    """A network of a definition, as `--arch` makes it, with a line before its class and a condition in it."""
    scope: dict[str, Any] = {"__name__": "architecture"}
    exec(compile(f"{HEAD}{first}\n{BODY.replace('COUNT', count)}", "net.py", "exec"), scope)  # noqa: S102
    network: nn.Module = scope["Net"]()
    return network


class TestCountingRunsOutsideTheModules:
    """A counter that is no attribute of a module is found out as well."""

    @pytest.mark.parametrize(
        ("first", "count"),
        [
            ("SEEN = []", "SEEN.append(1) or len(SEEN) > 500"),
            ("SEEN = {'n': 0}", "SEEN.update(n=SEEN['n'] + 1) or SEEN['n'] > 500"),
            ("", "held.update(n=held.get('n', 0) + 1) or held['n'] > 500"),
            ("class Seen:\n    n = 0", "setattr(Seen, 'n', Seen.n + 1) or Seen.n > 500"),
            ("class Seen:\n    n = 0\nseen = Seen()", "setattr(seen, 'n', seen.n + 1) or seen.n > 500"),
            ("def seen(): pass\nseen.n = 0", "setattr(seen, 'n', seen.n + 1) or seen.n > 500"),
            ("def make():\n    n = []\n    return lambda: n.append(1) or len(n)\nseen = make()", "seen() > 500"),
            ("seen = itertools.count()", "next(seen) > 500"),
            ("seen = iter(range(500))", "next(seen, 500) > 499"),
            ("seen = (n for n in range(9999))", "next(seen) > 500"),
            ("@functools.cache\ndef seen(n): return n", "seen(1) and seen.cache_info().hits > 500"),
            ("NAMES = bytearray()", "NAMES.append(1) or len(NAMES) > 500"),
        ],
        ids=[
            "list",
            "dict",
            "default",
            "class",
            "object",
            "function",
            "closure",
            "count",
            "iter",
            "generator",
            "cache",
            "bytearray",
        ],
    )
    def test_it_blocks(self, first: str, count: str) -> None:
        """Wherever Python can keep a number from one run to the next, one that changes with every run blocks."""
        assert "it can count its runs" in _blocking(audit_network(_defined(first, count), nets.probes()))

    def test_what_stays_as_it_is_does_not(self) -> None:
        """Constants of every kind outside the modules are no counters."""
        constants = (
            "SIZES = [1, {2: (3, {4})}]\nclass Settings:\n    width = 3\n    @property\n    def n(self): return 1"
        )
        audit = audit_network(_defined(constants, "SIZES[0] > 1 or Settings().n > 2"), nets.probes())
        assert not _blocking(audit)
