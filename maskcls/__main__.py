"""``python -m maskcls train ...`` is ``maskcls-train ...``."""

import sys

from maskcls import cli
from maskcls.config import SCHEMAS


def main() -> int:
    """Run the command that the first argument names, and return its exit status."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in SCHEMAS:
        print(f"usage: python -m maskcls {{{','.join(SCHEMAS)}}} [key=value ...]", file=sys.stderr)
        return 2
    return cli.main(command, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
