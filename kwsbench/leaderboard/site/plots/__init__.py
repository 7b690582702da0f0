"""Plots as geometry: axes, ticks, points and lines in the units of an SVG; templates draw them."""
