"""Counts a LightGBM model from its text: nodes and leaves as stored numbers, and the comparisons for one clip.

One number is stored per inner node (its threshold) and one per leaf (its value). Which feature a node looks at, and
where its children are, is structure, as the wiring of a network is. A categorical split stores the words of its set in
place of a threshold; a leaf with a linear model stores its constant and its coefficients besides its value. The text is
read strictly and LightGBM is not run: it crashes on damaged models.

Source: the text format that LightGBM 4 writes, `src/io/gbdt_model_text.cpp` and `src/io/tree.cpp`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from kwsbench.budget.report import Record
from kwsbench.errors import InputError

_FLOAT_BYTES = 8
_WORD_BYTES = 4
_CATEGORICAL = 1
_END = "end of trees"


class TreeCount(Record):
    """What a model of decision trees stores and compares.

    Attributes:
        num_trees: Trees, over all labels.
        nodes: Inner nodes.
        leaves: Leaves.
        stored_numbers: Thresholds, words of categorical sets, leaf values, and the linear models of leaves.
        weight_bytes: Their bytes as LightGBM computes with them: 8 each, 4 for a word of a set.
        comparisons_per_clip: Comparisons for one clip at most: the sum of the depths of all trees.
        multiplications_per_clip: What linear leaves multiply for one clip at most; 0 for ordinary trees.
    """

    num_trees: int
    nodes: int
    leaves: int
    stored_numbers: int
    weight_bytes: int
    comparisons_per_clip: int
    multiplications_per_clip: int


def count_lightgbm(model_text: str) -> TreeCount:
    """Counts a model that LightGBM wrote as text.

    Args:
        model_text: The text, whole.

    Raises:
        InputError: It is no such text, cut off, or contradicts itself; the message names the tree.
    """
    trees = [_tree_of(index, block) for index, block in enumerate(_blocks(model_text))]
    fields = TreeCount.model_fields
    return TreeCount(**{name: sum(getattr(tree, name) for tree in trees) for name in fields})


def _blocks(text: str) -> list[str]:
    # LightGBM finds a tree by the bytes that `tree_sizes` gives, so that is where it must be.
    head, found, _ = text.partition("\nTree=")
    if not text.startswith("tree\n") or (not found and f"\n{_END}" not in text):
        raise InputError("the model is no LightGBM text model: it does not begin with a header and trees")
    sizes = _integers("the header", _fields("the header", head), "tree_sizes")
    data = text.encode()
    start = len(head.encode()) + 1
    blocks = []
    for index, size in enumerate(sizes):
        block = data[start : start + size].decode("utf-8", "replace")
        if size < 1 or not block.startswith(f"Tree={index}\n") or block.count("Tree=") != 1:
            raise InputError(f"the LightGBM model is damaged: tree {index} is not where its header says")
        blocks.append(block)
        start += size
    if not data[start:].lstrip().startswith(_END.encode()):
        raise InputError(f"the LightGBM model is cut off, or has more than its {len(sizes)} trees")
    return blocks


def _fields(where: str, block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in block.splitlines():
        key, is_field, content = line.partition("=")
        if is_field and key in fields:
            raise InputError(f"the LightGBM model is damaged: {where} has {key!r} twice")
        fields[key] = content
    return fields


def _integers(where: str, fields: Mapping[str, str], key: str) -> list[int]:
    words = fields.get(key, "").split()
    if not all(re.fullmatch(r"-?[0-9]{1,12}", word, re.ASCII) for word in words):
        raise InputError(f"the LightGBM model is damaged: {where} has no whole numbers in {key!r}")
    return [int(word) for word in words]


def _numbers(where: str, fields: Mapping[str, str], key: str, count: int) -> int:
    words = fields.get(key, "").split()
    try:
        finite = not any(math.isnan(float(word)) for word in words)
    except ValueError:
        finite = False
    if not finite or len(words) != count:
        raise InputError(
            f"the LightGBM model is damaged: {where} has {len(words)} numbers in {key!r}, expected {count}"
        )
    return count


def _tree_of(index: int, block: str) -> TreeCount:
    where, fields = f"tree {index}", _fields(f"tree {index}", block)
    leaves = _one(where, fields, "num_leaves")
    if leaves < 1:
        raise InputError(f"the LightGBM model is damaged: {where} has {leaves} leaves")
    depth = _depth(where, leaves, _children(where, fields, leaves))
    words = _words(where, fields, leaves)
    floats = _numbers(where, fields, "leaf_value", leaves)
    if leaves > 1:
        floats += _numbers(where, fields, "threshold", leaves - 1) - _categorical_nodes(where, fields, leaves)
    coefficients = _linear(where, fields, leaves)
    floats += sum(coefficients) + (leaves if coefficients else 0)
    return TreeCount(
        num_trees=1,
        nodes=leaves - 1,
        leaves=leaves,
        stored_numbers=floats + words,
        weight_bytes=floats * _FLOAT_BYTES + words * _WORD_BYTES,
        comparisons_per_clip=depth,
        multiplications_per_clip=max(coefficients, default=0),
    )


def _one(where: str, fields: Mapping[str, str], key: str, default: int | None = None) -> int:
    found = _integers(where, fields, key) or ([] if default is None else [default])
    if len(found) != 1:
        raise InputError(f"the LightGBM model is damaged: {where} has {len(found)} numbers in {key!r}, expected 1")
    return found[0]


def _children(where: str, fields: Mapping[str, str], leaves: int) -> list[tuple[int, int]]:
    left, right = (_integers(where, fields, key) for key in ("left_child", "right_child"))
    if leaves > 1 and not len(left) == len(right) == leaves - 1:
        raise InputError(f"the LightGBM model is damaged: {where} has {leaves} leaves and {len(left)} inner nodes")
    return list(zip(left, right, strict=True)) if leaves > 1 else []


def _depth(where: str, leaves: int, children: Sequence[tuple[int, int]]) -> int:
    # A child that is not negative is an inner node, -1 is leaf 0, -2 leaf 1, and so on.
    seen: set[int] = set()
    level, depth = ([0] if children else []), 0
    while level:
        depth += 1
        below = [child for node in level for child in children[node]]
        if len(set(below)) < len(below) or seen & set(below) or not all(-leaves <= c < len(children) for c in below):
            raise InputError(f"the LightGBM model is damaged: the nodes of {where} are no tree")
        seen |= set(below)
        level = [child for child in below if child >= 0]
    if children and (0 in seen or len(seen) != len(children) - 1 + leaves):
        raise InputError(f"the LightGBM model is damaged: the nodes of {where} are no tree")
    return depth


def _categorical_nodes(where: str, fields: Mapping[str, str], leaves: int) -> int:
    kinds = _integers(where, fields, "decision_type")
    if len(kinds) != leaves - 1:
        raise InputError(f"the LightGBM model is damaged: {where} has {len(kinds)} decisions, expected {leaves - 1}")
    return sum(kind & _CATEGORICAL for kind in kinds)


def _words(where: str, fields: Mapping[str, str], leaves: int) -> int:
    sets = _one(where, fields, "num_cat", default=0)
    if not sets:
        if leaves > 1 and _categorical_nodes(where, fields, leaves):
            raise InputError(f"the LightGBM model is damaged: {where} has categorical splits and no categories")
        return 0
    boundaries = _integers(where, fields, "cat_boundaries")
    words = _integers(where, fields, "cat_threshold")
    if len(boundaries) != sets + 1 or boundaries[0] or boundaries[-1] != len(words) or boundaries != sorted(boundaries):
        raise InputError(f"the LightGBM model is damaged: the categories of {where} do not add up")
    return len(words)


def _linear(where: str, fields: Mapping[str, str], leaves: int) -> list[int]:
    if not _one(where, fields, "is_linear", default=0):
        return []
    counts = _integers(where, fields, "num_features")
    if len(counts) != leaves or min(counts) < 0:
        raise InputError(f"the LightGBM model is damaged: {where} has {len(counts)} linear leaves, expected {leaves}")
    _numbers(where, fields, "leaf_const", leaves)
    _numbers(where, fields, "leaf_coeff", sum(counts))
    return counts
