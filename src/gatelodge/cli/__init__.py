"""The operator's and the app developer's face: ``gatelodge dev | serve | app | audit | backup | keys | org | server | user``.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found. Data goes to stdout, talk to stderr.
"""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from gatelodge.cli.arguments import parse  # noqa: PLC0415 - what a command needs is loaded with it

    arguments = parse(sys.argv[1:])
    try:
        code = _run(arguments.command, arguments)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _run(command: str, arguments) -> int:  # noqa: ANN001 - argparse's own type
    if command in ("dev", "serve"):
        from gatelodge.cli import starting  # noqa: PLC0415

        return starting.start(arguments)
    if command == "backup":
        from gatelodge.cli import backup  # noqa: PLC0415

        return backup.run(arguments)
    if command == "audit":
        from gatelodge.cli import audit_command  # noqa: PLC0415

        return audit_command.run(arguments)
    from gatelodge.cli import commands  # noqa: PLC0415

    return commands.run(arguments)
