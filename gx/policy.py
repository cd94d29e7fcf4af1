"""What the pages may load: nothing but their own style sheet, script, fonts and images.

Apart from the view, so that a web server can send it without loading Great Expectations.
"""

from __future__ import annotations

from typing import Final

#: What the pages are written for. Served as a header; `frame-ancestors` means nothing in a <meta>.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
META_POLICY: Final = POLICY.rpartition("; ")[0]
