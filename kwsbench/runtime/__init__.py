"""Models at work: from a model file to something that turns inputs into scores, here or in the sandbox."""
