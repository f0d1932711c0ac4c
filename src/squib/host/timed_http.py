"""An answer of HTTP that has a deadline: http.client has a time limit on each wait only, so whoever drips has no end."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Buffer

__all__ = ["TimedResponse"]
