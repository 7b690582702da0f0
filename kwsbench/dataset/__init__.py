"""From a manifest to clips: fetching, unpacking, synthesising, preparing, verifying and reading audio."""
