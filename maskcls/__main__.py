"""``python -m maskcls train ...`` is ``maskcls-train ...``."""

import sys

from maskcls import cli


def main() -> int:
    """Run the command that the first argument names."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in cli.COMMANDS:
        print(f"usage: python -m maskcls {{{','.join(cli.COMMANDS)}}} [key=value ...]", file=sys.stderr)
        return 2
    return cli.main(command, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
