"""From predictions and a truth to scores with intervals: tables, JSON, plots, and comparisons of two systems."""
