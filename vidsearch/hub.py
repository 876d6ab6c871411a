"""Download one file of the Hugging Face hub: resumed where it broke off, checked by hash, one clear line when that cannot be.

huggingface_hub's own `hf_hub_download` (2.x) throws away what it has when it is interrupted and compares no hash, which is not enough for
files of 4 GB; its parts below that (addresses, metadata, one transfer with progress and retries) are used as they are.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from vidsearch.catalogue import HubFile
from vidsearch.errors import CheckpointError, InputNotFoundError, VidsearchError
from vidsearch.extras import require
from vidsearch.settings import Settings

TIMEOUT_S = 10.0  # for the hub's first answer
SHA256 = re.compile(r"[0-9a-f]{64}")


class NotOnHubError(InputNotFoundError):
    """The hub answers, and has no such file."""


def fetch(file: HubFile, target: Path, *, settings: Settings, by_hand: str, sha256: str | None = None) -> Path:
    """Download a file to `target` unless it is there; what an earlier call has got is kept in TARGET.part and continued.

    Args:
        file: what to get.
        target: its place; its folder is made.
        settings: the hub's address, and whether to ask it at all.
        by_hand: what to do instead, the end of the error's sentence.
        sha256: the hash it must have; without it, the hub's own statement of it for large files.
    """
    if target.is_file():
        return target
    if settings.hub_offline:
        raise InputNotFoundError(f"HF_HUB_OFFLINE is set; {by_hand}")
    require("huggingface_hub")
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(file.repository, file.name, revision=file.revision, endpoint=settings.hub_endpoint)
    partial = target.with_name(f"{target.name}.part")
    try:
        metadata = get_hf_file_metadata(url, timeout=TIMEOUT_S, headers=build_hf_headers(), endpoint=settings.hub_endpoint)
        with _open_partial(partial, metadata.etag, metadata.size) as stream:
            http_get(
                url,
                stream,
                resume_size=stream.tell(),
                headers=build_hf_headers(),
                expected_size=metadata.size,
                displayed_filename=file.name,
            )
    except Exception as error:  # which class means "no network" changes with the library's HTTP client
        explained = _explain(error, file, partial, settings, by_hand)
        if explained is None:
            raise
        raise explained from error
    _check_hash(partial, sha256 or (metadata.etag if SHA256.fullmatch(metadata.etag or "") else None), file)
    partial.replace(target)
    partial.with_suffix(".etag").unlink(missing_ok=True)
    return target


def _open_partial(partial: Path, etag: str | None, size: int | None) -> Any:
    """Open what is there of the same version of the file, for appending; of another version nothing is kept."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    version = partial.with_suffix(".etag")
    same = partial.is_file() and version.is_file() and version.read_text() == etag and (size is None or partial.stat().st_size <= size)
    if not same:
        partial.unlink(missing_ok=True)
        version.write_text(etag or "")
    return partial.open("ab")


def _check_hash(path: Path, expected: str | None, file: HubFile) -> None:
    if expected is None:
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        path.unlink()
        path.with_suffix(".etag").unlink(missing_ok=True)
        raise CheckpointError(
            f"SHA-256 mismatch: {file.repository}/{file.name} came as {found[:16]}…, not {expected[:16]}…; it was deleted"
        )


def _explain(error: Exception, file: HubFile, partial: Path, settings: Settings, by_hand: str) -> VidsearchError | None:
    """Return the error to show in place of one of the network or the hub; None for any other."""
    hub, page = settings.hub_endpoint, f"{settings.hub_endpoint}/{file.repository}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return InputNotFoundError(
            f"{page} refuses: accept its licence there, signed in, and set HF_TOKEN to a token of yours; or {by_hand}"
        )
    if status == 404:
        return NotOnHubError(f"{page} has no {file.name} at {file.revision}; {by_hand}")
    if not _is_of_network(error):
        return None
    got = partial.stat().st_size if partial.is_file() else 0
    if got:
        return InputNotFoundError(f"the download of {file.name} broke off after {got:,} bytes; run the same again to go on from there")
    if status is not None:
        return InputNotFoundError(f"{hub} answers with error {status}; try again later, or {by_hand}")
    return InputNotFoundError(f"no network: {hub} does not answer ({type(error).__name__}); {by_hand}")


def _is_of_network(error: Exception) -> bool:
    library = type(error).__module__.partition(".")[0]
    if library.startswith(("httpx", "httpcore", "huggingface_hub")) or isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno is None and not isinstance(error, VidsearchError)  # huggingface_hub: wrong size
