"""Redaction: no secret reaches a log, whatever an error quotes."""

import logging
import re
from typing import Final

_SHOWN: Final = "[redacted]"
_BEARER: Final = re.compile(r"(?i)\b(bearer|oauth)\s+[\w.!~+/=-]{8,}")
_PARAMETER: Final = re.compile(
    r"(?i)\b(access_token|refresh_token|client_secret|assertion|password|code)(\"?\s*[=:]\s*\"?)"
    r"[^\s&\"',}]+"
)
_SHORTEST: Final = 6


class Redaction(logging.Filter):
    """Takes secrets out of every line: those that it was told of, and whatever looks like one."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()

    def add(self, *secrets: str) -> None:
        """Learn secrets; very short ones are left alone, for they would be found in any word."""
        self._secrets.update(secret for secret in secrets if len(secret) >= _SHORTEST)

    def redacted(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _SHOWN)
        text = _BEARER.sub(rf"\1 {_SHOWN}", text)
        return _PARAMETER.sub(rf"\1\2{_SHOWN}", text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a line, and the traceback that goes with it."""
        record.msg = self.redacted(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.redacted(record.exc_text)
        return True
