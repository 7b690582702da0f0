import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import kwsbench.metrics

MODULES = sorted(f"kwsbench.metrics.{module.name}" for module in pkgutil.iter_modules(kwsbench.metrics.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_hand_computed_examples(name: str) -> None:
    """Every module has hand-computed examples in its docstrings, and they come out as written."""
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_importing_the_metrics_is_cheap() -> None:
    """Importing every metric loads numpy and no other heavy library."""
    heavy = "{'scipy', 'polars', 'sklearn', 'lightgbm', 'matplotlib', 'torch', 'pydantic'}"
    code = f"import sys, {', '.join(MODULES)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
