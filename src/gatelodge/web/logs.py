"""Logs: one JSON line per event on stderr, or coloured lines for a person. What is logged are ids and reasons: never a
query string, a header, a token or a password.
"""

import logging
import sys

import structlog


def configure(*, is_development: bool) -> None:
    """Set structlog up, and let the libraries' warnings through the same door."""
    rendered = (
        # A plain traceback: the renderer's own shows the local variables too, and so passwords and tokens.
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if is_development
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
