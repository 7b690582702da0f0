"""Ranks what was handed in to a competition, and shows it as a static site."""
