"""Downloads: whole or not at all, with an error within seconds where there is no network."""

import hashlib
import http.client
import logging
import queue
import re
import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, BinaryIO

import torch

from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import CheckpointError

log = logging.getLogger(__name__)

SCHEMES = ("https", "file", "http", "ftp")
CONNECT_SECONDS = 8.0  # a compute node without internet must say so at once; a slow line still gets an answer in this


def folder() -> Path:
    """Where torch keeps downloaded weights: $TORCH_HOME/hub/checkpoints, ~/.cache/torch/hub/checkpoints by default."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def file_name(url: str) -> str:
    """The name to keep a download under. "model.pth" is a name of many files, so it gets a digest of the address."""
    path = Path(urllib.request.url2pathname(url.split("?")[0].rsplit("/", 1)[-1]) or "weights")
    if re.search(r"-[0-9a-f]{8,}$", path.stem):  # torchvision's names end in the content's SHA-256
        return path.name
    return f"{path.stem}-at-{hashlib.sha256(url.encode()).hexdigest()[:8]}{path.suffix}"


def check_url(url: str) -> None:
    """ValueError for what is no URL of a server or a file, in words."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"expected a URL that begins with {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    if parts.scheme != "file" and not parts.hostname:
        raise ValueError("it has no host")
    if parts.port is not None and not parts.port:
        raise ValueError("its port is 0")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("it contains blanks or control characters")


def download(url: str, path: Path, sha256: str | None = None) -> str:
    """Fetch `url` into `path`; the file is there whole or not at all. Returns the SHA-256 of its content.

    Args:
        sha256: what that must be.

    Raises:
        OSError, http.client.HTTPException: no answer within CONNECT_SECONDS, or the transfer broke.
        ValueError: not an address, or the content is not what its name promises.
    """
    with atomic_path(path) as part:
        with _open(url, CONNECT_SECONDS, verified=sha256 is not None) as answer, part.open("wb") as file:
            digest, size = _copy(answer, file, path.name)
            expected = answer.headers.get("Content-Length")
        if expected and size != int(expected):
            raise ValueError(f"received {size} of {expected} bytes")
        promised = re.search(r"-([0-9a-f]{8,})$", path.stem)
        if promised and "-at-" not in path.stem and not digest.startswith(promised[1]):
            raise ValueError(f"its SHA-256 is {digest[:8]}..., expected {promised[1]}")
        if sha256 is not None and digest != sha256:
            raise ValueError(f"its SHA-256 is {digest}, expected {sha256}")
    return digest


def fetch(url: str, file: str, flag: str, remedy: str, sha256: str | None = None) -> Path:
    """The path of `file` in torch's folder, downloaded when it is not there yet.

    Args:
        sha256: what the download's digest must be.

    Raises:
        CheckpointError: neither file nor network, within seconds; `flag` and `remedy` say what was asked and what to do.
    """
    try:
        check_url(url)
    except ValueError as error:
        raise CheckpointError(f"{flag}: not a URL that can be downloaded ({error})") from None
    path = folder() / file
    if path.is_file():
        return path
    try:
        log.info("Downloaded %s, SHA-256 %s", path, download(url, path, sha256))
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise CheckpointError(
            f"{flag}: {file} is not in {folder()} (in $TORCH_HOME), and the download failed ({reason}). {remedy}"
        ) from error
    return path


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirections of https to https alone."""

    def redirect_request(
        self,
        request: urllib.request.Request,
        answer: IO[bytes],
        code: int,
        message: str,
        headers: http.client.HTTPMessage,
        url: str,
    ) -> urllib.request.Request | None:
        """The request of the new address; ValueError where it is not https."""
        if request.type == "https" and urllib.parse.urlsplit(url).scheme != "https":
            raise ValueError(f"it is redirected to {url}, which anybody on the way could change; give --weights_sha256")
        return super().redirect_request(request, answer, code, message, headers, url)


def _open(url: str, seconds: float, *, verified: bool) -> http.client.HTTPResponse:
    """Open a URL within a limit that counts the look-up of the name too, to which a socket's timeout does not apply.

    verified: the content's digest is known, so that it may come by any way.
    """
    opener = urllib.request.build_opener(*([] if verified else [_OnlyHttps()]))
    answers: queue.Queue[http.client.HTTPResponse | Exception] = queue.Queue()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "deep_cnn"})
            answers.put(opener.open(request, timeout=seconds))
        except Exception as error:  # handed over to the thread that waits, which raises it
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, title: str) -> tuple[str, int]:
    """Copy an answer to a file, with a bar on a terminal; returns its SHA-256 and its length in bytes."""
    from tqdm import tqdm

    digest, size = hashlib.sha256(), 0
    total = int(answer.headers.get("Content-Length") or 0) or None
    with tqdm(total=total, unit="B", unit_scale=True, desc=title, disable=not sys.stderr.isatty()) as bar:
        while chunk := answer.read(1 << 20):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            bar.update(len(chunk))
    return digest.hexdigest(), size
