"""What a pickle in a checkpoint would build, found out without building it.

A pickle is a program for a stack machine: a few of its instructions call whatever they name. Here the program runs on
a machine of our own, which knows dicts, lists, plain values and claims of tensors, and calls nothing. What passes uses
only instructions, names and arguments that `torch.save` writes for tensors and plain values; each tensor lies inside a
storage, and each storage is a whole record of the archive. PyTorch's own `weights_only` reader allows more: constructors
that allocate what they are told to (`torch.Tensor`, `bytearray`), tensors larger than their storage, names that the
process has registered as safe, keys whose hash takes forever.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from kwsbench.checkpoint.archives import Archive
from kwsbench.checkpoint.pickle_calls import CALLS, Named, Opaque, StorageClaim, is_count, is_key
from kwsbench.checkpoint.pickle_names import ALLOWED, DTYPE_BYTES, DTYPES, STORAGES, UNREADABLE
from kwsbench.errors import InputError, RefusedError

_MAX_PICKLE_BYTES = 16 << 20
_MAX_INSTRUCTIONS = 2_000_000
_MAX_VALUES = 200_000
_MAX_DEPTH = 32
_SURROGATE = re.compile("[\ud800-\udfff]")
_PROTOCOL = 2  # what torch.save writes by default


def scan_pickle(data: bytes, records: Mapping[str, int], where: Path) -> Any:
    """Finds out what a checkpoint's pickle would build.

    Args:
        data: The pickle.
        records: Bytes of each record that may be a storage, by its name under `data/`.
        where: The file, for messages.

    Returns:
        Dicts, lists, tuples and plain values as they are; a `TensorClaim` in the place of each tensor, an `Opaque` in
        that of any other value. No value lies deeper than 32 levels, and there are at most 200,000.

    Raises:
        InputError: It is damaged, or holds tensors of a kind that is not read.
        RefusedError: Loading it would call more than what tensors and plain values need.
    """
    if len(data) > _MAX_PICKLE_BYTES:
        raise RefusedError(
            f"refused {where}: its pickle has {len(data):,} bytes, expected at most {_MAX_PICKLE_BYTES:,}"
        )
    instructions = _instructions(data, where)
    _require_known_names(instructions, where)
    value = _Machine(records, where).run(instructions)
    _require_bounded(value, where)
    return value


def scan_archive(archive: Archive) -> Any:
    """Finds out what the pickle in an archive of `torch.save` would build; see `scan_pickle`."""
    root = archive.root
    if f"{root}data.pkl" not in archive.entries or not root:
        raise InputError(f"cannot read {archive.where}: there is no data.pkl in it, as torch.save writes it")
    entries = archive.entries.items()
    records = {name.removeprefix(f"{root}data/"): entry.num_bytes for name, entry in entries if "/data/" in name}
    return scan_pickle(archive.read(f"{root}data.pkl"), records, archive.where)


def _instructions(data: bytes, where: Path) -> list[tuple[str, Any]]:
    import pickletools

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in names, which are refused below
            codes = itertools.islice(pickletools.genops(data), _MAX_INSTRUCTIONS)
            found = [(code.name, argument, place or 0) for code, argument, place in codes]
    except (ValueError, EOFError) as error:
        raise InputError(f"{where} is damaged: the pickle in it cannot be read through; copy it again") from error
    if found[-1][2] != len(data) - 1:
        raise RefusedError(
            f"refused {where}: the pickle in it goes on behind its end, or has over {_MAX_INSTRUCTIONS:,} instructions"
        )
    if any(code == "GLOBAL" and not _is_spelt(data, place + 1, argument) for code, argument, place in found):
        raise RefusedError(f"refused {where}: its pickle spells a name with escapes, which torch.save does not do")
    return [(code, argument) for code, argument, _ in found]


def _is_spelt(data: bytes, place: int, name: Any) -> bool:
    # pickletools undoes escapes in names, which the readers of pickles do not.
    return data.startswith(f"{name}\n".replace(" ", "\n", 1).encode(), place)


def _require_known_names(instructions: list[tuple[str, Any]], where: Path) -> None:
    """Refuses a pickle that names anything else than what is allowed, and says all that it names."""
    names = dict.fromkeys(_names(instructions))
    foreign = [name for name in names if name not in ALLOWED and name not in UNREADABLE]
    if foreign:
        texts = {argument for name, argument in instructions if "UNICODE" in name}
        raise RefusedError(_foreign_message(foreign, texts, where))
    for name in names:
        if name in UNREADABLE:
            raise InputError(f"cannot read {where}: it holds {UNREADABLE[name]}")
    protocol = max((argument for name, argument in instructions if name == "PROTO"), default=0)
    if protocol > _PROTOCOL:
        raise InputError(
            f"cannot read {where}: its pickle has protocol {protocol}; save it again without `pickle_protocol`"
        )


def _names(instructions: list[tuple[str, Any]]) -> list[str]:
    # A STACK_GLOBAL takes its two words from the stack; the last two texts are a good guess, and it is refused anyway.
    names, texts = [], ["", ""]
    for code, argument in instructions:
        if code in {"GLOBAL", "INST"}:
            names.append(argument)
        elif code == "STACK_GLOBAL":
            names.append(" ".join(texts[-2:]))
        elif isinstance(argument, str):
            texts.append(argument)
    return names


def _foreign_message(foreign: list[str], texts: set[str], where: Path) -> str:
    shown = ", ".join(ascii(name.replace(" ", "."))[1:81].rstrip("'") for name in foreign[:5])
    more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
    return f"refused {where}: loading it would run code, it needs {shown}{more}; {resave_recipe(texts, where)}"


def resave_recipe(texts: set[str], where: Path) -> str:
    """Returns what the author of a refused checkpoint can do, given the texts that are in its pickle."""
    author = "its author, on the machine that made it, can save the weights alone"
    if "state_dict" in texts:
        weights = f'torch.load("{where.name}", weights_only=False)["state_dict"]'
        return f'{author}: `torch.save({{k: v for k, v in {weights}.items()}}, "weights.pt")`'
    return f'{author}: `torch.save(model.state_dict(), "weights.pt")`, or export the model to ONNX'


def _require_bounded(value: Any, where: Path) -> None:
    """Refuses a value that holds itself, or so many others through shared parts that no walk over it would end."""
    level, count = [value], 0
    for _ in range(_MAX_DEPTH):
        count += len(level)
        if count > _MAX_VALUES:
            raise RefusedError(f"refused {where}: its pickle holds over {_MAX_VALUES:,} values")
        parts = itertools.chain.from_iterable(map(_parts, level))
        level = list(itertools.islice(parts, _MAX_VALUES))
        if not level:
            return
    raise RefusedError(f"refused {where}: its pickle nests over {_MAX_DEPTH} levels deep")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


class _Machine:
    """Runs a pickle's instructions on values that stand for what it would build."""

    def __init__(self, records: Mapping[str, int], where: Path) -> None:
        self._records = records
        self._where = where
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._storages: dict[str, StorageClaim] = {}

    def run(self, instructions: list[tuple[str, Any]]) -> Any:
        """Returns what the last instruction leaves on the stack."""
        try:
            for name, argument in instructions:
                step = _STEPS.get(name)
                if step is None:
                    self._refuse(f"has the instruction {name}")
                step(self, argument)
            if len(self._stack) != 1 or self._below:
                self._refuse("leaves more than one value")
            return self._stack[0]
        except (IndexError, KeyError) as error:
            raise RefusedError(f"refused {self._where}: its pickle takes values that are not there") from error

    def _refuse(self, what: str) -> NoReturn:
        raise RefusedError(
            f"refused {self._where}: its pickle {what}, which torch.save does not write for tensors and plain values"
        )

    def _require(self, holds: object, what: str) -> None:
        if not holds:
            self._refuse(what)

    def nothing(self, _: None) -> None:
        pass

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def true(self, _: None) -> None:
        self._stack.append(True)

    def false(self, _: None) -> None:
        self._stack.append(False)

    def text(self, value: str) -> None:
        # Half of a surrogate pair can be neither printed nor written.
        self._require(not _SURROGATE.search(value), "holds text that is none")
        self.push(value)

    def protocol(self, number: int) -> None:
        self._require(number == _PROTOCOL and not self._stack and not self._memo, "changes its protocol")

    def mark(self, _: None) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        values, self._stack = self._stack, self._below.pop()
        return values

    def marked_as_tuple(self) -> None:
        self.push(tuple(self._since_mark()))

    def last_as_tuple(self, count: int) -> None:
        values = [self._stack.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def append(self, values: list[Any]) -> None:
        self._require(type(self._stack[-1]) is list, "appends to what is no list")
        self._stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        self._require(type(self._stack[-1]) in {dict, OrderedDict, Counter}, "sets items of what is no dict")
        self._require(len(values) % 2 == 0, "sets a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            self._require(is_key(key), "has a key that is neither text nor a small integer")
            self._stack[-1][key] = value

    def name(self, argument: str) -> None:
        self.push(Opaque(argument) if argument in DTYPES else Named(argument))

    def put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def get(self, place: int) -> None:
        self.push(self._memo[place])

    def storage(self, _: None) -> None:
        identity = self._stack.pop()
        self._require(type(identity) is tuple and len(identity) == 5, "has a persistent id that is no storage")
        kind, storage_type, key, location, count = identity
        self._require(kind == "storage" and isinstance(storage_type, Named), "has a persistent id that is no storage")
        self._require(type(key) is str and type(location) is str and is_count(count), "has an odd persistent id")
        self._require(storage_type.name in STORAGES, "has a storage of an unknown type")
        self._require(key in self._records, f"takes the record {str(key)[:40]!r}, which is not in the archive")
        dtype = STORAGES[storage_type.name]
        claim = StorageClaim(key, dtype, count * DTYPE_BYTES[dtype])
        self._require(claim.num_bytes == self._records[key], f"has a storage {key} of another size than its record")
        self._require(self._storages.setdefault(key, claim) == claim, f"takes the record {key} as two storages")
        self.push(claim)

    def call(self, _: None) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._require(isinstance(function, Named) and function.name in CALLS, "calls what is no function")
        self._require(type(arguments) is tuple, "calls a function without arguments")
        try:
            self.push(CALLS[function.name](*arguments))
        except (TypeError, ValueError) as error:
            self._refuse(f"calls {function.name.replace(' ', '.')} with other arguments ({error})")

    def build(self, _: None) -> None:
        # An attribute of another name could take the place of a method, so that `.items()` is no longer one.
        state = self._stack.pop()
        self._require(type(self._stack[-1]) is OrderedDict, "changes the attributes of what is no OrderedDict")
        self._require(type(state) is dict and set(state) <= {"_metadata"}, "adds attributes to an OrderedDict")

    def append_one(self, _: None) -> None:
        value = self._stack.pop()
        self.append([value])

    def append_all(self, _: None) -> None:
        self.append(self._since_mark())

    def set_one(self, _: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self.set_items([key, value])

    def set_all(self, _: None) -> None:
        self.set_items(self._since_mark())


_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = MappingProxyType(
    {
        "PROTO": _Machine.protocol,
        "STOP": _Machine.nothing,
        "MARK": _Machine.mark,
        "NONE": _Machine.push,
        "NEWTRUE": _Machine.true,
        "NEWFALSE": _Machine.false,
        "EMPTY_TUPLE": lambda machine, _: machine.push(()),
        "EMPTY_LIST": lambda machine, _: machine.push([]),
        "EMPTY_DICT": lambda machine, _: machine.push({}),
        **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _Machine.push),
        "BINUNICODE": _Machine.text,
        "TUPLE1": lambda machine, _: machine.last_as_tuple(1),
        "TUPLE2": lambda machine, _: machine.last_as_tuple(2),
        "TUPLE3": lambda machine, _: machine.last_as_tuple(3),
        "TUPLE": lambda machine, _: machine.marked_as_tuple(),
        "APPEND": _Machine.append_one,
        "APPENDS": _Machine.append_all,
        "SETITEM": _Machine.set_one,
        "SETITEMS": _Machine.set_all,
        **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
        **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
        "GLOBAL": _Machine.name,
        "BINPERSID": _Machine.storage,
        "REDUCE": _Machine.call,
        "BUILD": _Machine.build,
    }
)
