"""`python -m caltech_lab` is the command line, the same as `caltech-lab`."""

from caltech_lab.cli import main

if __name__ == "__main__":
    main()
