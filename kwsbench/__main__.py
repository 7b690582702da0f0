"""`python -m kwsbench`."""

from kwsbench.cli import main

if __name__ == "__main__":
    main()
