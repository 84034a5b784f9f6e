"""Who we are to a registry: basic credentials, and bearer tokens that an authorization server gives for a scope.

Words.  *challenge*: what a 401 says is wanted (WWW-Authenticate). *realm*: URL of the token server. *scope*: what a
        token is for: ``repository:library/busybox:pull,push``. *identity token*: a refresh token in place of a
        password.
Life.   The first request goes without; a 401 says what is wanted; what was found is used until it ends.
Secrets. They go to the endpoint that they were given for and, by its word, to its token server: over HTTPS, unless the
        endpoint itself is plain. Never to a mirror, never where something redirects.
Source. RFC 7617, RFC 6750; distribution/docs/spec/auth/{token,oauth}.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from sampan.distribution.errors import BadContent, Denied
from sampan.distribution.transport import Transport, json_object

TOKEN_LIMIT: Final = 1 << 20  # bytes of a token server's answer
_LEAST_S: Final = 60  # how long a token lasts when nothing is said: token.md
_EARLY_S: Final = 10  # so much before its end it is not used any more
_CLIENT: Final = "sampan"
_CHALLENGE: Final = re.compile(r"([A-Za-z]+)\s*")
_PARAMETER: Final = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*,?\s*')


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client sent in X-Registry-Auth, for one registry."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""  # used as the bearer token, as it is
    server: str = ""

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)

    def __repr__(self) -> str:
        return f"Credentials(for {self.server or 'a registry'})"  # a secret is in no log


NOBODY: Final = Credentials()


def from_header(value: str) -> Credentials:
    """Decode X-Registry-Auth: base64 of a JSON object; as dockerd, nonsense is nobody."""
    try:
        document = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    except (ValueError, binascii.Error):
        return NOBODY
    return from_document(document)


def from_document(document: object) -> Credentials:
    """Read an AuthConfig of the API: username and password, or ``auth`` with both, or a token."""
    if not isinstance(document, dict):
        return NOBODY
    text = {key: value for key, value in document.items() if isinstance(value, str)}
    username, password = text.get("username", ""), text.get("password", "")
    if not username and (packed := text.get("auth")):
        try:
            username, _, password = base64.b64decode(packed).decode().partition(":")
        except (ValueError, binascii.Error):
            return NOBODY
    return Credentials(
        username, password, text.get("identitytoken", ""), text.get("registrytoken", ""), text.get("serveraddress", "")
    )


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way that a 401 offers."""

    scheme: str  # lower case
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Parse WWW-Authenticate; what can't be understood is left out."""
    found, rest = [], header.strip()
    while match := _CHALLENGE.match(rest):
        rest = rest[match.end() :]
        parameters = {}
        while pair := _PARAMETER.match(rest):
            quoted = pair[2]
            parameters[pair[1].lower()] = pair[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            rest = rest[pair.end() :]
        found.append(Challenge(match[1].lower(), parameters))
    return found


class Authorizer:
    """What to send as Authorization to one endpoint. Thread-safe."""

    def __init__(
        self, transport: Transport, credentials: Credentials, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Use ``credentials`` at the transport's endpoint."""
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._lock = threading.Lock()
        self._basic = False
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}  # scopes → token, when it ends
        self.identity_token = ""  # what a token server gave for the next time

    def headers(self, scopes: Sequence[str]) -> dict[str, str]:
        """Return what is known to be wanted for these scopes."""
        with self._lock:
            if self._credentials.registry_token:
                return {"Authorization": f"Bearer {self._credentials.registry_token}"}
            token, ends = self._tokens.get(tuple(sorted(scopes)), ("", 0.0))
            if token and self._clock() < ends:
                return {"Authorization": f"Bearer {token}"}
            return {"Authorization": self._basic_value()} if self._basic else {}

    def answer(self, header: str, scopes: Sequence[str], sent: Mapping[str, str]) -> bool:
        """Find what a 401 wants; tell whether another try with new `headers` makes sense.

        Raises Denied: the token server refused. BadContent: it answered nonsense. Unreachable.
        """
        for challenge in parse_challenges(header):
            if challenge.scheme == "bearer" and not self._credentials.registry_token:
                before = sent.get("Authorization", "")
                token, ends = self._fetch(challenge.parameters, scopes)
                with self._lock:
                    self._tokens[tuple(sorted(scopes))] = token, ends
                return before != f"Bearer {token}"
            if challenge.scheme == "basic" and self._credentials.username:
                with self._lock:
                    self._basic = True
                return sent.get("Authorization", "") != self._basic_value()  # others may have been told meanwhile
        return False

    def _basic_value(self) -> str:
        pair = f"{self._credentials.username}:{self._credentials.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _fetch(self, parameters: Mapping[str, str], scopes: Sequence[str]) -> tuple[str, float]:
        realm = parameters.get("realm", "")
        endpoint = self._transport.endpoint
        parts = urlsplit(realm)
        if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
            raise BadContent(f"{endpoint.host} names a token server that is none: {realm!r}")
        plain = parts.scheme == "http" and endpoint.scheme == "https" and not endpoint.insecure
        if plain and self._credentials:
            raise BadContent(f"{endpoint.host} asks for credentials to be sent over plain HTTP to {parts.netloc}")
        wanted = scopes or [one for one in parameters.get("scope", "").split(" ") if one]
        if self._credentials.identity_token:
            return self._refresh(realm, parameters.get("service", ""), wanted)
        query = [("service", parameters["service"])] if "service" in parameters else []
        query += [("scope", scope) for scope in wanted]
        headers = {}
        if self._credentials.username:
            query.append(("account", self._credentials.username))
            headers["Authorization"] = self._basic_value()
        url = realm + ("&" if parts.query else "?") + urlencode(query)
        return self._read("GET", url, headers, None)

    def _refresh(self, realm: str, service: str, scopes: Sequence[str]) -> tuple[str, float]:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._credentials.identity_token,
            "service": service,
            "client_id": _CLIENT,
            "scope": " ".join(scopes),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._read("POST", realm, headers, urlencode(form).encode())

    def _read(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[str, float]:
        answer = self._transport.request(method, url, headers, body, token_server=True)
        content = answer.read(TOKEN_LIMIT + 1)
        answer.release_conn()
        if answer.status in (400, 401, 403):
            raise Denied(answer.status, "UNAUTHORIZED", "unauthorized: incorrect username or password")
        where = url.partition("?")[0]
        if answer.status != 200 or len(content) > TOKEN_LIMIT:
            raise BadContent(f"{where}: the token server answered {answer.status}")
        document = json_object(content, f"{where}: the token server's answer is no JSON object")
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not token or not token.isprintable():
            raise BadContent(f"{where}: authorization server did not include a token in the response")
        if isinstance(refresh := document.get("refresh_token"), str):
            self.identity_token = refresh
        lasts = document.get("expires_in")
        seconds = lasts if isinstance(lasts, int | float) and lasts > _LEAST_S else _LEAST_S
        return token, self._clock() + seconds - _EARLY_S
