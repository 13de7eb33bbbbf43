"""`python -m embedtune`: the command line."""

from embedtune.cli import cli

if __name__ == "__main__":
    cli(prog_name="embedtune")
