"""Logs: the standard library's logging, for people or as JSON lines. Never a profile's values.

Loggers attach what a line is about as ``extra={"context": {...}}``; both forms show it.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

from crdtstore.errors import ConfigurationError

LOG_FORMS: Final = ("human", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


def configure_logging(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send all logs of this process to ``stream`` (standard error), in one form, from a level up.

    Raises ConfigurationError for another form or level than LOG_FORMS and LOG_LEVELS.
    """
    if form not in LOG_FORMS:
        raise ConfigurationError(f"log format {form!r} is none of {', '.join(LOG_FORMS)}")
    if level not in LOG_LEVELS:
        raise ConfigurationError(f"log level {level!r} is none of {', '.join(LOG_LEVELS)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else HumanFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("crdtstore").setLevel(level.upper())


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the context's own keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        document: dict[str, object] = {
            "time": _time_of(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in getattr(record, "context", {}).items():
            document.setdefault(name, value)
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)


class HumanFormatter(logging.Formatter):
    """One line for people; control characters of what is quoted cannot forge a second one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        time = _time_of(record).astimezone().strftime("%H:%M:%S")
        context = "".join(
            f" {name}={value}" for name, value in getattr(record, "context", {}).items()
        )
        message = _visible(f"{record.getMessage()}{context}")
        line = f"{time} {record.levelname.lower():8}{record.name}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _time_of(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
