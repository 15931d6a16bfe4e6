"""`python -m openane` is the command line."""

from openane.cli import main

main()
