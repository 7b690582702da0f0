"""Oracle: LightGBM's own dump of the trees that it trained; and texts that are damaged in every place."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.budget.lightgbm_count import TreeCount, count_lightgbm
from kwsbench.errors import InputError

PROPERTY = settings(deadline=None, derandomize=True, max_examples=100, database=None)
KINDS: dict[str, dict[str, Any]] = {
    "ordinary": {"objective": "regression"},
    "several labels": {"objective": "multiclass", "num_class": 3},
    "categorical": {"objective": "regression", "min_data_per_group": 1, "cat_smooth": 0.0, "max_cat_to_onehot": 1},
    "linear": {"objective": "regression", "linear_tree": True},
    "stumps": {"objective": "regression", "num_leaves": 2},
    "nothing to learn": {"objective": "regression", "min_data_in_leaf": 1000},
}


def trained(kind: str) -> lightgbm.Booster:
    """A small model of the given kind."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5))
    x[:, 0] = rng.integers(0, 70, 300)
    target = (x[:, 0] * 7919 % 5) + np.sin(x[:, 1]) + x[:, 2]
    y = np.digitize(target, [1, 3]) if kind == "several labels" else target
    options = {"num_leaves": 6, "min_data_in_leaf": 3, **KINDS[kind], "verbose": -1, "num_threads": 1, "seed": 0}
    data = lightgbm.Dataset(x, y, categorical_feature=[0] if kind == "categorical" else [], params={"verbose": -1})
    return lightgbm.train({**options, "deterministic": True}, data, 4)


@pytest.fixture(scope="module")
def models() -> dict[str, lightgbm.Booster]:
    """One model of every kind."""
    return {kind: trained(kind) for kind in KINDS}


def nodes_of(node: dict[str, Any], depth: int = 0) -> list[tuple[dict[str, Any], int]]:
    """Every node of a dumped tree, leaves included, with its depth."""
    below = [node[key] for key in ("left_child", "right_child") if key in node]
    return [(node, depth), *(found for child in below for found in nodes_of(child, depth + 1))]


def dumped(booster: lightgbm.Booster) -> TreeCount:
    """The same counts from LightGBM's own dump; a set of categories takes a word for every 32 that it reaches."""
    trees = [nodes_of(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    every = [node for tree in trees for node, _ in tree]
    inner, leaves = [n for n in every if "threshold" in n], [n for n in every if "threshold" not in n]
    sets = [n["threshold"].split("||") for n in inner if n["decision_type"] == "=="]
    words = sum(max(map(int, members)) // 32 + 1 for members in sets)
    linear = sum(1 + len(leaf["leaf_coeff"]) for leaf in leaves if "leaf_const" in leaf)
    floats = len(inner) - len(sets) + len(leaves) + linear
    widest = [max(len(node.get("leaf_coeff", ())) for node, _ in tree) for tree in trees]
    return TreeCount(
        num_trees=len(trees),
        nodes=len(inner),
        leaves=len(leaves),
        stored_numbers=floats + words,
        weight_bytes=8 * floats + 4 * words,
        comparisons_per_clip=sum(max(depth for _, depth in tree) for tree in trees),
        multiplications_per_clip=sum(widest),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_counts_what_lightgbm_dumps(models: dict[str, lightgbm.Booster], kind: str) -> None:
    """Trees, nodes, leaves, stored numbers and depths are those of LightGBM's own dump, for every kind of tree."""
    assert count_lightgbm(models[kind].model_to_string()) == dumped(models[kind])


def test_an_ordinary_tree_stores_thresholds_and_leaf_values(models: dict[str, lightgbm.Booster]) -> None:
    """Four trees of six leaves: five thresholds and six values each, 8 bytes a number, and nothing is multiplied."""
    count = count_lightgbm(models["ordinary"].model_to_string())
    assert (count.nodes, count.leaves, count.stored_numbers) == (20, 24, 44)
    assert count.weight_bytes == 8 * 44
    assert count.multiplications_per_clip == 0


def test_the_kinds_are_what_they_are_called(models: dict[str, lightgbm.Booster]) -> None:
    """The oracle has seen sets of categories, linear leaves and trees of one leaf."""
    counts = {kind: count_lightgbm(booster.model_to_string()) for kind, booster in models.items()}
    assert counts["categorical"].stored_numbers > counts["categorical"].nodes + counts["categorical"].leaves
    assert counts["linear"].multiplications_per_clip > 0
    assert counts["nothing to learn"].nodes == 0
    assert counts["several labels"].num_trees == 12


def changed(text: str, old: str, new: str) -> str:
    """A text with its first `old` replaced, and the sizes of its trees adjusted."""
    head, _, rest = text.partition("\nTree=")
    rest = rest.replace(old, new, 1) if old in rest else rest
    sizes = head.partition("tree_sizes=")[2].split("\n")[0].split()
    grown = str(int(sizes[0]) + len(new) - len(old))
    return head.replace(f"tree_sizes={sizes[0]}", f"tree_sizes={grown}") + "\nTree=" + rest


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("left_child", "0 0 0 0 0"),
        ("left_child", "1 2 3 4 99"),
        ("left_child", "1 2 3 4"),
        ("right_child", "-1 -1 -1 -1 -1"),
        ("num_leaves", "7"),
        ("num_leaves", "0"),
        ("num_leaves", "many"),
        ("num_leaves", "999999999999"),
        ("threshold", "1 2 3 4 nan"),
        ("threshold", "1 2 3 4"),
        ("leaf_value", "1 2 3"),
        ("decision_type", "1 2 2 2 2"),
        ("decision_type", "2"),
        ("num_cat", "3"),
        ("is_linear", "1"),
    ],
)
def test_a_tree_that_contradicts_itself_is_wrong_input(
    models: dict[str, lightgbm.Booster], key: str, content: str
) -> None:
    """Children that form no tree, lists of the wrong length and words that are no numbers are errors that name the tree."""
    text = models["ordinary"].model_to_string()
    line = next(line for line in text.split("\nTree=0")[1].splitlines() if line.startswith(f"{key}="))
    with pytest.raises(InputError, match="tree 0"):
        count_lightgbm(changed(text, f"\n{line}\n", f"\n{key}={content}\n"))


def test_trees_must_be_where_the_header_says(models: dict[str, lightgbm.Booster]) -> None:
    """LightGBM finds trees by their sizes, so sizes that hide a tree from one reader are refused by the other."""
    text = models["ordinary"].model_to_string()
    sizes = text.partition("tree_sizes=")[2].split("\n")[0]
    for hidden in (" ".join(sizes.split()[:-1]), f"{sizes} 5", "1 2 3 4", ""):
        with pytest.raises(InputError):
            count_lightgbm(text.replace(f"tree_sizes={sizes}", f"tree_sizes={hidden}"))


def test_a_field_that_is_given_twice_is_wrong_input(models: dict[str, lightgbm.Booster]) -> None:
    """Which of the two LightGBM would believe is not to be guessed."""
    text = models["ordinary"].model_to_string()
    with pytest.raises(InputError, match="twice"):
        count_lightgbm(changed(text, "\nis_linear=0\n", "\nis_linear=0\nis_linear=1\n"))


@pytest.mark.parametrize("text", ["", "tree", "tree\n", "hello\nTree=0\n", "tree\nversion=v4\n\nend of trees\n"])
def test_another_text_is_no_model(text: str) -> None:
    """A text without header or trees is told from a model in one sentence."""
    with pytest.raises(InputError, match="LightGBM"):
        count_lightgbm(text)


def test_a_model_that_is_cut_off_anywhere_is_wrong_input(models: dict[str, lightgbm.Booster]) -> None:
    """No prefix that lacks a part of a tree is counted."""
    text = models["stumps"].model_to_string()
    end = text.index("end of trees")
    for cut in range(0, end, 7):
        with pytest.raises(InputError):
            count_lightgbm(text[:cut])


@PROPERTY
@given(st.data())
def test_damage_never_ends_in_another_error(models: dict[str, lightgbm.Booster], data: st.DataObject) -> None:
    """Whatever characters are changed, the model is counted or refused as wrong input."""
    kind = data.draw(st.sampled_from(list(KINDS)))
    text = list(models[kind].model_to_string())
    for _ in range(data.draw(st.integers(1, 8))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from("0123456789-=. \nTree\x00é"))
    try:
        count = count_lightgbm("".join(text))
    except InputError:
        return
    assert count.leaves == count.nodes + count.num_trees
