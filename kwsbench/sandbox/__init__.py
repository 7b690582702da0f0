"""A locked room for strangers' code: no network, no files but its own, and limits on memory, time and processes."""
