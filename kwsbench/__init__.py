"""kwsbench: keyword-spotting benchmarks, from clips to scores that can be trusted.

The way the data goes: manifest -> dataset -> front-end -> model -> predictions -> scores. Each step is a module;
importing this package loads none of them.
"""

__version__ = "0.1.0"
