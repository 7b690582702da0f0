"""What teams hand in: its form, its checks, and what a host does to verify it."""
