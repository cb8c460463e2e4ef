"""The entry points: from what was typed to an exit status.

A command line passes through this package once, downwards: `arguments` reads it, `composition` makes checked
configurations of it, `start` claims or finds the directory, `launch` enters Hydra, and `job` runs the command. Nothing
heavy is imported until the configuration is known to be good.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial

from maskcls import __version__
from maskcls.cli.arguments import parse_overrides, read_arguments, refuse_bare, refuse_repeated
from maskcls.cli.console import escape_missing_letters, printable
from maskcls.cli.launch import show
from maskcls.cli.resumption import directory_to_resume
from maskcls.cli.start import resume, start
from maskcls.errors import MaskclsError
from maskcls.interrupts import Interrupted, listening


def main(command: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        command: its name without ``maskcls-``, such as ``train``.
        arguments: options and overrides; by default what was typed.

    Returns:
        The exit status: 0 if all went well, 1 for a defect in maskcls, 2 for wrong input, 3 for a training that failed,
        4 for an audit that found what ``fail_on`` names, 5 for a failure of the machine or of its libraries, 128 + N
        after signal N (130 after Ctrl-C, 143 after SIGTERM, 129 after a closed terminal, 138 after SIGUSR1). A sweep
        ends with the highest status of its jobs.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    escape_missing_letters()
    if "--version" in arguments:
        print(f"maskcls {__version__}")
        return 0
    try:
        line = read_arguments(arguments, command)
        if not line.completes_shell:
            refuse_repeated(arguments)
            refuse_bare(command, line.overrides)
        if line.shows_only:
            return show(command, line)
        with listening():
            directory = directory_to_resume(parse_overrides(line.overrides)) if command == "train" else None
            return start(command, line) if directory is None else resume(line, directory)
    except MaskclsError as error:
        print(printable(f"maskcls-{command}: {error}"), file=sys.stderr)
        return error.exit_status
    except Interrupted as error:
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # as in maskcls-train --help | head; Python would complain once more when it flushes stdout at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


train = partial(main, "train")
evaluate = partial(main, "eval")
predict = partial(main, "predict")
demo = partial(main, "demo")
audit = partial(main, "audit")
compare = partial(main, "compare")
export = partial(main, "export")
