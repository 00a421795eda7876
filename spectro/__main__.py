"""Run the command line as `python -m spectro`."""

from spectro.cli import main

if __name__ == "__main__":
    main()
