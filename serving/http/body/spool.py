"""Bodies in files: small ones in memory, larger ones in the temporary folder, which may be full."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import AsyncGenerator, Iterator

from starlette.datastructures import UploadFile

from serving.http.errors import RequestError

logger = logging.getLogger("bentoml.emotions")

# A larger recording waits in an unnamed file on disk rather than in memory.
_SPOOL_BYTES = 1 << 20


async def spooled(chunks: AsyncGenerator[bytes, None]) -> UploadFile:
    """The chunks in a file, in memory or on disk, rewound; the caller closes it.

    Raises:
        RequestError: 507, the temporary folder cannot take it.
    """
    with storage(), contextlib.ExitStack() as on_error:
        file = on_error.enter_context(tempfile.SpooledTemporaryFile(_SPOOL_BYTES))
        upload = UploadFile(file, size=0)  # type: ignore[arg-type]  # typeshed: a spooled file is not a BinaryIO
        async for chunk in chunks:
            await upload.write(chunk)
        await upload.seek(0)
        on_error.pop_all()
    return upload


@contextlib.contextmanager
def storage() -> Iterator[None]:
    """Around what writes to temporary files: 507 where that is not possible."""
    try:
        yield
    except TimeoutError:  # an OSError too, and no matter of files
        raise
    except OSError as error:
        logger.warning("the temporary folder cannot take an upload: %s", error.strerror or error)
        message = "the service has no room for an upload of this size now; try again later, or send a smaller one"
        raise RequestError(507, "no_space", message, retry=True, close=True) from error
