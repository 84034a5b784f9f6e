"""Who the user is at which registry: Docker's ``config.json`` and credential helpers.

Words.  *server*: what credentials are kept under: a registry's host with its port, or INDEX for Docker Hub. *entry*: an
        object of ``auths``, with ``username`` and ``password`` in place of ``auth``; also {"identitytoken"},
        {"registrytoken"}.
Rules.  A host's credentials are those kept under that very host: keys of the file may have a scheme and a path, nothing
        else is made equal. What `header` returns goes to the daemon, for one registry.
"""

from __future__ import annotations

import base64
import json

from sampan.cli import config_json, credential_helpers
from sampan.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Entry = dict[str, str]

INDEX = "https://index.docker.io/v1/"
_HUB = ("docker.io", "index.docker.io")
_SENT = ("username", "password", "auth", "serveraddress", "identitytoken", "registrytoken")  # in this order


def server_of(domain: str) -> str:
    """The server of a reference's domain: ``docker.io`` → INDEX, ``localhost:5000`` → itself."""
    return INDEX if domain in _HUB else domain


def hostname(server: str) -> str:
    """A server without scheme and path: ``https://shop.example/v1/`` → ``shop.example``."""
    for scheme in ("http://", "https://"):
        server = server.removeprefix(scheme)
    return server.partition("/")[0]


class Credentials:
    """The credentials of one user, in the ``config.json`` at `path`; `warn` is told what is wrong with them."""

    __slots__ = ("_environ", "_warn", "path")

    def __init__(self, path: str, environ: Mapping[str, str], warn: Callable[[str], None]) -> None:
        self.path = path
        self._environ = environ
        self._warn = warn

    def header(self, domain: str) -> str:
        """The value of X-Registry-Auth for a reference's domain. What can't be had is told, and left out."""
        try:
            entry = self.lookup(server_of(domain))
        except (CommandError, OSError) as error:
            self._warn(f"WARNING: no credentials for {domain}: {error}")
            entry = {}
        return encode(entry)

    def lookup(self, server: str) -> Entry:
        """What is kept for a server, {} for nothing. Raises CommandError: a helper failed, or the file is damaged."""
        document = config_json.read(self.path)
        entry = _entry(document, server)
        helper = self._helper(document, server)
        if not helper:
            return entry
        found = credential_helpers.get(helper, server, self._environ)
        kept = {"registrytoken": entry["registrytoken"]} if "registrytoken" in entry else {}
        if found is None:
            return kept
        username, secret = found
        if username == credential_helpers.TOKEN_USER:
            return {**kept, "identitytoken": secret, "serveraddress": server}
        return {**kept, "username": username, "password": secret, "serveraddress": server}

    def store(self, server: str, username: str, password: str, identity_token: str = "") -> bool:
        """Keep what a login gave; tell whether a password was written to the file as it is.

        Raises CommandError, OSError.
        """
        document = config_json.read(self.path)
        helper = self._helper(document, server)
        if helper:
            user, secret = (credential_helpers.TOKEN_USER, identity_token) if identity_token else (username, password)
            credential_helpers.store(helper, server, user, secret, self._environ)
            made: Entry = {}
        else:
            both = f"{username}:{'' if identity_token else password}"
            made = {"auth": base64.b64encode(both.encode()).decode()}
            made |= {"identitytoken": identity_token} if identity_token else {}
        before = _auths(document).get(server)
        chosen = helper if not self._configured(document) else ""

        def edit(document: dict[str, Any]) -> None:
            old = _auths(document).get(server)
            ours = {"auth", "identitytoken", "username", "password"}
            rest = {key: value for key, value in old.items() if key not in ours} if isinstance(old, dict) else {}
            document["auths"] = dict(sorted({**_auths(document), server: {**rest, **made}}.items()))
            if chosen:
                document["credsStore"] = chosen

        config_json.change(self.path, edit)
        return (
            not helper and not identity_token and (not isinstance(before, dict) or before.get("auth") != made["auth"])
        )

    def erase(self, server: str) -> None:
        """Forget what is kept under this very key. Raises CommandError, OSError."""
        document = config_json.read(self.path)
        helper = self._helper(document, server)
        if helper:
            credential_helpers.erase(helper, server, self._environ)

        def edit(document: dict[str, Any]) -> None:
            if server in _auths(document):
                document["auths"] = {key: value for key, value in document["auths"].items() if key != server}

        config_json.change(self.path, edit)

    def _helper(self, document: dict[str, Any], server: str) -> str:
        """The helper that has a server's credentials; "": they are in the file."""
        helpers = document.get("credHelpers")
        if isinstance(helpers, dict) and helpers.get(server):
            return str(helpers[server])
        if document.get("credsStore"):
            return str(document["credsStore"])
        return "" if self._configured(document) else credential_helpers.default(self._environ)

    @staticmethod
    def _configured(document: dict[str, Any]) -> bool:
        """Whether the file says anything about where credentials are."""
        return any(document.get(key) for key in ("auths", "credHelpers", "credsStore"))


def _auths(document: dict[str, Any]) -> dict[str, Any]:
    auths = document.get("auths")
    return auths if isinstance(auths, dict) else {}


def _entry(document: dict[str, Any], server: str) -> Entry:
    """The entry of a server in the file, by its key or by the host in its key."""
    auths = _auths(document)
    keys = [server] if server in auths else [key for key in auths if hostname(key) == server]
    if not keys:
        return {}
    found = auths[keys[0]]
    if not isinstance(found, dict):
        raise CommandError(f"Invalid auth configuration file: {keys[0]}")
    texts = {key.lower(): value for key, value in found.items() if isinstance(value, str) and value}
    entry: Entry = {
        key: texts[key] for key in ("username", "password", "identitytoken", "registrytoken") if key in texts
    }
    if "auth" in texts:
        username, password = _decode(texts["auth"], keys[0])
        entry |= {"username": username, "password": password}
    return {**entry, "serveraddress": server} if entry else {}


def _decode(auth: str, key: str) -> tuple[str, str]:
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except ValueError:
        username = colon = password = ""
    if not username or not colon:
        raise CommandError(f"Invalid auth configuration file: {key}")
    return username, password.strip("\x00")


def encode(entry: Entry) -> str:
    """An entry as X-Registry-Auth has it: URL-safe base64 of its JSON, of {} for nothing."""
    sent = {key: entry[key] for key in _SENT if entry.get(key)}
    return base64.urlsafe_b64encode(json.dumps(sent, separators=(",", ":")).encode()).decode()
