"""What a model costs: stored numbers, multiply-accumulates, bytes, and whether that fits a limit."""
