"""A locked room for strangers' code: no network, no files but its own, and limits on memory, time and processes.

`call` runs one function of kwsbench on a stranger's model in a child process that bubblewrap confines. Only JSON and
raw arrays come out (`wire`). What holds the child, from the outside in:

- `confine`: namespaces without network and without other processes; read-only Python and kwsbench, nothing else of
  the disk; neither /proc nor a writable place but a small private /tmp.
- `limits` and `system_calls`: resource limits and a filter of system calls, put on before the model is touched.
- `process`: the wall clock, and a limit on the answer.

A model format that can carry code (a `.pt2` archive, a definition in Python) shares the child with kwsbench's own
code: it cannot harm the machine, but what the child then answers is its word. Every answer is data to be checked.
"""

from __future__ import annotations

from kwsbench.sandbox.calling import Reply, call
from kwsbench.sandbox.confine import unavailable_reason
from kwsbench.sandbox.limits import Limits, inside, require_inside

__all__ = ["Limits", "Reply", "call", "inside", "require_inside", "unavailable_reason"]
