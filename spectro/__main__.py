"""`python -m spectro`: the same as the command `spectro`."""

from spectro.cli import main

if __name__ == "__main__":
    main()
