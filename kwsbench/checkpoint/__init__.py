"""Trained models on disk: what a file is, whether it is safe to read, and how it is read and written."""
