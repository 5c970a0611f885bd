"""Logs: one JSON line per event on stderr, or coloured lines for a person. What is logged are ids and reasons: never a
query string, a header, a token or a password.
"""

import logging
import sys

import structlog


def configure(*, is_development: bool) -> None:
    """Set structlog up, and let the libraries' warnings through the same door."""
    rendered = (
        # The plain formatter: the other one shows each frame's local variables, passwords and tokens among them.
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if is_development
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    stamped = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    structlog.configure(
        processors=[*stamped, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamped,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[theirs])
    # A request that can't be read is answered; telling of each would let strangers fill the disk.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
