"""How a server takes a recording and gives its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

_BOUNDARY = "3f1c7c0e9a"


@dataclass(frozen=True)
class Api:
    """How a server takes a recording, and where its answer holds the probabilities.

    Attributes:
        path: of the request.
        content_type: of its body.
        body: the body of a recording's bytes.
        probabilities: of the answer's JSON.
    """

    path: str
    content_type: str
    body: Callable[[bytes], bytes]
    probabilities: Callable[[Any], dict[str, dict[str, float]]]

    def request(self, content: bytes) -> bytes:
        """The whole HTTP request that uploads a recording's bytes."""
        body = self.body(content)
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {self.content_type}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _form(content: bytes) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


OURS = Api("/v1/predict", "application/octet-stream", lambda content: content, lambda answer: answer["probabilities"])
"""The service's."""
RAW = replace(OURS, path="/predict")
"""A peer's that takes a body as it is."""
FORM = replace(RAW, content_type=f"multipart/form-data; boundary={_BOUNDARY}", body=_form)
"""A peer's that takes a form's field ``files``."""
LISTED = replace(FORM, probabilities=lambda answer: answer[0]["probabilities"])
"""BentoML's batchable endpoints: a list for a list."""
