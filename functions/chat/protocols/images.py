"""Images that clients send as base64; addresses are not fetched."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Literal

from shared.messages import Image

Detail = Literal["auto", "low", "high"]
_DATA_URL = re.compile(
    r"data:image/(png|jpe?g|gif|webp)(?:;[\w.=-]+)*;base64,([A-Za-z0-9+/\s]+={0,2})\s*", re.IGNORECASE
)


def image_in(url: str, detail: Detail = "auto") -> Image:
    """The image of a data: URL, with a registered media type and padded base64. Raises ValueError for another URL."""
    found = _DATA_URL.fullmatch(url)
    if not found:
        raise ValueError("send the image itself, as data:image/png;base64,… (or jpeg, gif, webp)")
    data = "".join(found[2].split()).rstrip("=")
    data += "=" * (-len(data) % 4)
    b64decode(data, validate=True)  # its ValueError is the answer
    return Image(f"image/{found[1].lower().replace('jpg', 'jpeg')}", data, detail)
