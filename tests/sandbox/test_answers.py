"""What comes back: answers as they were given, errors as what they are, and nothing that was forged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kwsbench.errors import CheckFailedError, InputError, KwsbenchError, Problem, RefusedError
from tests.sandbox.conftest import InSandbox
from tests.sandboxed import needs_sandbox

pytestmark = needs_sandbox


def test_json_arrays_and_files_go_in_and_come_out(in_sandbox: InSandbox) -> None:
    """What goes in is what the function gets, and what it returns is what comes out."""
    request = {"text": "zwölf", "numbers": [1, 2.5, None, True], "inner": {"empty": {}}}
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "none": np.zeros((0, 4), np.int8),
        "one": np.array(7),
    }
    reply = in_sandbox("friendly:double", request, arrays=arrays, files={"model.pt": bytes(range(256)), "b": b""})
    assert reply.record == {"request": request, "files": {"model.pt": bytes(range(256)).hex(), "b": ""}}
    for name, array in arrays.items():
        np.testing.assert_array_equal(reply.arrays[name], 2 * array)
        assert reply.arrays[name].dtype == array.dtype
        assert reply.arrays[name].flags.writeable
        assert reply.arrays[name].flags.aligned


def test_large_arrays_cross(in_sandbox: InSandbox) -> None:
    """Arrays much larger than a pipe holds come back whole."""
    big = np.arange(5_000_000, dtype=np.int64)
    np.testing.assert_array_equal(in_sandbox("friendly:double", arrays={"big": big}).arrays["big"], 2 * big)


def test_printing_never_disturbs(in_sandbox: InSandbox, capfd: pytest.CaptureFixture[str]) -> None:
    """What a model prints reaches neither the answer nor the user's terminal, and there is nothing to read."""
    assert in_sandbox("friendly:chatty").record == {"heard": ""}
    assert capfd.readouterr() == ("", "")


def test_two_calls_at_once_do_not_meet(in_sandbox: InSandbox) -> None:
    """Calls from several threads each get their own answer."""
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda number: in_sandbox("friendly:double", {"number": number}), range(4)))
    assert [reply.record["request"]["number"] for reply in replies] == list(range(4))


@pytest.mark.parametrize("kind", [CheckFailedError, InputError, KwsbenchError, RefusedError])
def test_errors_cross_as_what_they_are(in_sandbox: InSandbox, kind: type[KwsbenchError]) -> None:
    """Class, message and problems of a kwsbench error are the same outside."""
    problem = {"where": "conv1", "found": "3", "expected": "4", "remedy": "train again", "count": 7}
    with pytest.raises(KwsbenchError) as caught:
        in_sandbox("friendly:say", {"error": kind.__name__, "message": "wrong labels", "problems": [problem]})
    assert type(caught.value) is kind
    assert caught.value.message == "wrong labels"
    assert caught.value.problems == (Problem(**problem),)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exit", "model.pt failed while it ran: SystemExit: 0"),
        ("interrupt", "model.pt failed while it ran: KeyboardInterrupt"),
        ("mute", "model.pt failed while it ran: Mute"),
        ("coloured", "model.pt failed while it ran: ValueError: [31mred [0m over"),
    ],
)
def test_what_a_model_raises_is_one_clean_line(in_sandbox: InSandbox, how: str, message: str) -> None:
    """Any exception of a model is bad input, said in one line that cannot play with the terminal."""
    with pytest.raises(InputError) as caught:
        in_sandbox("hostile:fail", {"how": how})
    assert caught.value.message == message


def test_a_long_message_is_cut_in_the_middle(in_sandbox: InSandbox) -> None:
    """Of a message without end both ends are kept."""
    with pytest.raises(InputError, match=r"Loud: first words x+ \.\.\. x+ last words$") as caught:
        in_sandbox("hostile:fail", {"how": "loud"})
    assert len(str(caught.value)) < 1000


def test_what_an_error_of_kwsbench_quotes_is_cut_and_cleaned(in_sandbox: InSandbox) -> None:
    """A stranger's words in one of kwsbench's own errors neither fill the terminal nor play with it."""
    with pytest.raises(InputError, match=r"^first words x+ \.\.\. x+ last words") as caught:
        in_sandbox("hostile:fail", {"how": "said without end"})
    assert len(str(caught.value)) < 4_000
    with pytest.raises(InputError) as caught:
        in_sandbox("hostile:fail", {"how": "said in lines"})
    assert caught.value.message == "one two [31mthree"
    assert caught.value.problems == (Problem("a b", "c", "d [2J", "e"),)


@pytest.mark.parametrize("how", ["no memory", "said no memory"])
def test_a_library_that_gets_no_memory_is_told_from_a_bug(how: str, in_sandbox: InSandbox) -> None:
    """PyTorch raises RuntimeError when there is no memory left; it is reported as the limit, also where it is quoted."""
    with pytest.raises(RefusedError, match=r"needs more than 2\.0 GiB of memory"):
        in_sandbox("hostile:fail", {"how": how})


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("abort", InputError, r"crashed \(SIGABRT\) while it ran: the last words"),
        ("segfault", InputError, r"crashed \(SIGSEGV\) while it ran: the last words"),
        ("exit 0", InputError, "ended the program that ran it: the last words"),
        ("exit 3", InputError, r"failed \(exit code 3\) while it ran: the last words"),
        ("kill", RefusedError, r"killed \(signal 9\)"),
    ],
)
def test_a_crash_is_one_clear_error(in_sandbox: InSandbox, how: str, error: type[KwsbenchError], message: str) -> None:
    """However a model ends the child, the message names the model, the way and the last that was printed."""
    with pytest.raises(error, match=f"model.pt (was )?{message}"):
        in_sandbox("hostile:crash", {"how": how})


@pytest.mark.parametrize("before", ["", "locked".ljust(32), "locked".ljust(32) + 32 * "0", "garbage"])
def test_a_forged_answer_is_never_used(in_sandbox: InSandbox, before: str) -> None:
    """A frame written to every descriptor and every path of /proc is refused, because it lacks the secret."""
    with pytest.raises(RefusedError, match="wrote into the sandbox's answer"):
        in_sandbox("hostile:forge", {"before": before})


def test_nothing_may_follow_the_answer(in_sandbox: InSandbox) -> None:
    """An answer with something after it is refused."""
    with pytest.raises(RefusedError, match="malformed"):
        in_sandbox("hostile:add_to_answer")


def test_there_are_no_paths_to_the_answer(in_sandbox: InSandbox) -> None:
    """Without /proc a model that can only open paths, such as a TorchScript archive, does not find the answer's pipe."""
    record = in_sandbox("hostile:paths_of_processes").record
    assert record == {"proc": ["/proc/cpuinfo"], "self": False}


def test_problems_that_are_none_are_refused(in_sandbox: InSandbox) -> None:
    """What an error lists is checked like everything else that comes out."""
    with pytest.raises(RefusedError, match="malformed"):
        in_sandbox("hostile:lie_about_problems")


@pytest.mark.parametrize("what", ["object", "nan", "nothing", "text", "set"])
def test_an_answer_that_cannot_cross_is_an_error(in_sandbox: InSandbox, what: str) -> None:
    """Objects, NaN in JSON and answers of another shape do not come out."""
    with pytest.raises((InputError, RefusedError)):
        in_sandbox("hostile:wrong_answer", {"what": what})


def test_a_file_name_with_a_folder_is_a_bug(in_sandbox: InSandbox) -> None:
    """Handed-over files lie in one folder; a name cannot lead out of it."""
    with pytest.raises(ValueError, match="no file name"):
        in_sandbox("friendly:double", files={"../x": b""})


def test_torch_runs_inside(in_sandbox: InSandbox) -> None:
    """PyTorch works without /proc, processes and shared memory, on one thread."""
    pytest.importorskip("torch")
    reply = in_sandbox("friendly:with_torch")
    assert reply.record == {"threads": 1}
    assert reply.arrays["product"].tolist() == [[54.0]]


def test_onnxruntime_runs_inside(in_sandbox: InSandbox) -> None:
    """So does onnxruntime, with its default number of threads."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "x"], ["y"])], "g", value[:1], value[1:])
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    x = np.arange(3, dtype=np.float32)
    reply = in_sandbox("friendly:with_onnxruntime", arrays={"x": x}, files={"model.onnx": model})
    assert reply.arrays["y"].tolist() == [0.0, 2.0, 4.0]
