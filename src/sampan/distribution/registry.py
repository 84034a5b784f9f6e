"""One repository at one endpoint: manifests, blobs, uploads, tags.

Words.  *repository*: ``library/busybox``; *reference* of a manifest: a tag or a digest.
Errors. `errors`: Unreachable (another endpoint may do), Refused and below it, BadContent, Cancelled.
Source. OCI distribution-spec 1.1; distribution/docs/spec/api.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Final, TypeVar
from urllib.parse import urlencode, urljoin

import urllib3
from urllib3.exceptions import HTTPError

from sampan.distribution import manifest
from sampan.distribution.auth import Authorizer, Credentials
from sampan.distribution.errors import BadContent, Denied, DistributionError, NotThere, Refused, Unreachable
from sampan.distribution.manifest import Descriptor
from sampan.distribution.transport import Endpoint, Transport, json_object, let_go, plain_reason
from sampan.image import digest as digests
from sampan.image.model import CONFIG_LIMIT

T = TypeVar("T")

PAGE: Final = 1000
_TAG_LIMIT: Final = 100_000
_NEXT: Final = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_PASSING: Final = frozenset((408, 429, 500, 502, 503, 504))


def first(sources: list[Repository], work: Callable[[Repository], T]) -> T:
    """Do it at the first of the sources that can; the next are tried behind a mirror, and where there is no answer.

    The one that could is asked first from then on, and its host by no other scheme.
    """
    for source in tuple(sources):
        try:
            done = work(source)
        except DistributionError as error:
            last = error
            if not (source.endpoint.mirror or isinstance(error, Unreachable)):
                break
        else:
            sources[:] = [source, *(one for one in sources if one.endpoint.host != source.endpoint.host)]
            return done
    raise last


class Repository:
    """A repository; keep it for as long as one pull or push takes. Thread-safe."""

    def __init__(self, endpoint: Endpoint, path: str, credentials: Credentials) -> None:
        """Nothing is asked yet. ``path`` is a repository by the grammar of `sampan.image.reference`."""
        self.endpoint = endpoint
        self.path = path
        self._transport = Transport(endpoint)
        self._authorizer = Authorizer(self._transport, credentials)

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    @property
    def identity_token(self) -> str:
        """What the token server gave in place of a password, if it did."""
        return self._authorizer.identity_token

    def ping(self) -> None:
        """See that something answers. Raises Unreachable."""
        let_go(self._transport.request("GET", "/v2/"))

    def check_credentials(self) -> None:
        """See that the registry takes the credentials. Raises Denied and the like."""
        let_go(self._ask("GET", "/v2/", (), what=""))

    # Manifests

    def manifest(self, reference: str) -> tuple[bytes, Descriptor]:
        """Return a manifest's exact bytes and what it is; by digest they are verified."""
        answer = self._ask("GET", f"/v2/{self.path}/manifests/{reference}", self._pull, {"Accept": manifest.ACCEPT})
        content = _read(answer, manifest.LIMIT, f"the manifest of {self.path}:{reference}")
        by_digest = digests.is_digest(reference)
        digest = reference if by_digest else digests.of(content)
        if by_digest:
            hasher = digests.hasher(reference)
            hasher.update(content)
            if hasher.hexdigest() != reference.partition(":")[2]:
                raise BadContent(f"manifest verification failed for digest {reference}")
        said = answer.headers.get("Docker-Content-Digest", "")
        if not by_digest and said.startswith("sha256:") and said != digest:
            raise BadContent(f"the registry says {said} of a manifest whose digest is {digest}")
        return content, Descriptor(_media_type(answer), digest, len(content))

    def head(self, reference: str) -> Descriptor | None:
        """Return what a manifest is, or None where the registry has none or doesn't say."""
        try:
            answer = self._ask(
                "HEAD", f"/v2/{self.path}/manifests/{reference}", self._pull, {"Accept": manifest.ACCEPT}
            )
        except NotThere:
            return None
        let_go(answer)
        digest, size = answer.headers.get("Docker-Content-Digest", ""), answer.headers.get("Content-Length", "")
        if not digests.is_digest(digest) or not size.isdigit():
            return None
        return Descriptor(_media_type(answer), digest, int(size))

    def put_manifest(self, reference: str, content: bytes, media_type: str) -> None:
        """Store a manifest under a tag or its digest."""
        url = f"/v2/{self.path}/manifests/{reference}"
        let_go(self._ask("PUT", url, self._push, {"Content-Type": media_type}, content, expected=(201, 202)))

    def tags(self) -> list[str]:
        """Return all tags."""
        return self._listed(f"/v2/{self.path}/tags/list?n={PAGE}", "tags", self._pull)

    def catalog(self) -> Iterator[str]:
        """Return the repositories of the registry, where it tells."""
        return iter(self._listed(f"/v2/_catalog?n={PAGE}", "repositories", ("registry:catalog:*",)))

    def _listed(self, url: str, key: str, scopes: Sequence[str]) -> list[str]:
        found: list[str] = []
        while url and len(found) < _TAG_LIMIT:
            answer = self._ask("GET", url, scopes)
            document = self.json(answer)
            listed = document.get(key) or []
            if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
                raise BadContent(f"{url}: the registry's list of {key} is none")
            found += listed
            following = _NEXT.search(answer.headers.get("Link", ""))
            url = urljoin(urljoin(f"{self.endpoint.url}/", url), following[1]) if following and listed else ""
        return found

    def json(self, answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        """Read an answer that must be a JSON object."""
        content = _read(answer, manifest.LIMIT, "an answer")
        return json_object(content, f"{self.endpoint.url}: the registry's answer is no JSON object")

    def get_json(self, url: str) -> dict[str, Any]:
        """Return the JSON object at a path of the endpoint."""
        return self.json(self._ask("GET", url, ()))

    # Blobs

    def open_blob(self, digest: str, start: int) -> tuple[urllib3.BaseHTTPResponse, int]:
        """Ask for a blob from byte ``start`` on; return the answer and where it really begins: 0 or ``start``."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        url = f"/v2/{self.path}/blobs/{digest}"
        answer = self._ask("GET", url, self._pull, headers, expected=(200, 206, 416))
        if answer.status == 206:
            said = answer.headers.get("Content-Range", "")
            if not said.startswith(f"bytes {start}-"):
                answer.close()
                raise BadContent(f"{url}: asked for bytes from {start} on, the registry gives {said or 'others'}")
            return answer, start
        if answer.status == 416:  # what is there is as long as the blob, or longer
            let_go(answer)
            return self.open_blob(digest, 0)
        return answer, 0

    def small_blob(self, blob: Descriptor) -> bytes:
        """Return a small blob, verified. Raises BadContent."""
        answer, _ = self.open_blob(blob.digest, 0)
        content = _read(answer, CONFIG_LIMIT, f"blob {blob.digest}")
        hasher = digests.hasher(blob.digest)
        hasher.update(content)
        if hasher.hexdigest() != blob.digest.partition(":")[2]:
            raise BadContent(f"blob verification failed for digest {blob.digest}")
        return content

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository has a blob."""
        try:
            let_go(self._ask("HEAD", f"/v2/{self.path}/blobs/{digest}", self._push))
        except NotThere:
            return False
        return True

    def begin_upload(self, digest: str = "", source: str = "") -> str | None:
        """Begin an upload; with ``source``, a repository that may have the blob, try to mount it from there.

        Returns where to put the blob, or None: it is there now.
        """
        query = "?" + urlencode({"mount": digest, "from": source}) if source else ""
        scopes = (*self._push, f"repository:{source}:pull") if source else self._push
        answer = self._ask("POST", f"/v2/{self.path}/blobs/uploads/{query}", scopes, expected=(201, 202))
        let_go(answer)
        if answer.status == 201:
            return None
        location = answer.headers.get("Location")
        if not location:
            raise BadContent(f"{self.endpoint.url}: an upload without a location")
        url = urljoin(f"{self.endpoint.url}/v2/", location)
        if not self._transport.is_own(url):
            raise BadContent(f"{self.endpoint.url}: an upload at another host is not supported: {url}")
        return url

    def put_blob(self, location: str, digest: str, body: IO[bytes], size: int) -> None:
        """Send a blob to where `begin_upload` said."""
        url = location + ("&" if "?" in location else "?") + urlencode({"digest": digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        let_go(self._ask("PUT", url, self._push, headers, body, expected=(201,)))

    # Asking

    @property
    def _pull(self) -> tuple[str, ...]:
        return (f"repository:{self.path}:pull",)

    @property
    def _push(self) -> tuple[str, ...]:
        return (f"repository:{self.path}:pull,push",)

    def _ask(
        self,
        method: str,
        url: str,
        scopes: Sequence[str],
        headers: dict[str, str] | None = None,
        body: bytes | IO[bytes] | None = None,
        *,
        expected: Sequence[int] = (200,),
        what: str | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Ask with what the registry wants as authorization; an answer that isn't ``expected`` is raised."""
        for _ in range(3):
            sent = {**(headers or {}), **self._authorizer.headers(scopes)}
            answer = self._transport.request(method, url, sent, body)
            if answer.status != 401:
                break
            challenge = answer.headers.get("WWW-Authenticate", "")
            content = let_go(answer)
            if not self._authorizer.answer(challenge, scopes, sent):
                raise self._denied(method, url, answer.status, content, sent)
            if body is not None and not isinstance(body, bytes):
                body.seek(0)
        if answer.status in expected:
            return answer
        raise self._refused(method, url, answer, what)

    def _refused(self, method: str, url: str, answer: urllib3.BaseHTTPResponse, what: str | None) -> Refused:
        content = let_go(answer)
        code, text = _told(content)
        if answer.status == 404 and what is None:
            return NotThere(404, code, text or "not found")
        if answer.status in (401, 403):
            return self._denied(method, url, answer.status, content, {})
        shown = text or f"unexpected status code {answer.status}"
        where = f'{method.capitalize()} "{urljoin(self.endpoint.url + "/", url)}": '
        return Refused(answer.status, code, where + shown, passing=answer.status in _PASSING)

    def _denied(self, method: str, url: str, status: int, content: bytes, sent: dict[str, str]) -> Denied:
        code, text = _told(content)
        if not text:
            text = "unauthorized: authentication required" if sent else "no basic auth credentials"
        return Denied(status, code, f'{method.capitalize()} "{urljoin(self.endpoint.url + "/", url)}": {text}')


def _media_type(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _read(answer: urllib3.BaseHTTPResponse, limit: int, what: str) -> bytes:
    try:
        content = answer.read(limit + 1)
    except (HTTPError, OSError) as error:
        raise Unreachable(f"{what}: {plain_reason(error)}") from error
    if len(content) > limit:
        answer.close()
        raise BadContent(f"{what} has more than {limit} bytes")
    answer.release_conn()
    return content


def _told(content: bytes) -> tuple[str, str]:
    """Return code and text of a registry's error body, as dockerd shows them: ``manifest unknown: …``."""
    try:
        listed = json.loads(content)["errors"]
        first = listed[0]
        code, message = str(first.get("code", "")), str(first.get("message", ""))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "", ""
    named = code.lower().replace("_", " ")
    text = "".join(one for one in f"{named}: {message}" if one.isprintable())[:500]
    return code, text
