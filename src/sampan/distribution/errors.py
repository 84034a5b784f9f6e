"""What can go wrong between us and a registry; the words are dockerd's where it has any.

* DistributionError(text, status)          HTTP
  - Unreachable                            500  no connection, broken TLS, no HTTP; another endpoint may do
  - Refused(status, code, message)         …    the registry's own error
      - NotThere                           404  no such manifest, repository or blob
      - Denied                             404  unauthorized or forbidden, as dockerd puts it for a pull
  - BadContent                             500  a manifest, token or blob that isn't what it should be
  - Cancelled                              499  whoever asked has gone
"""

from __future__ import annotations

from sampan.image.errors import ImageError


class DistributionError(ImageError):
    """Base of this room's errors."""


class Unreachable(DistributionError):
    """The endpoint gives no answer that is one."""

    passing = True


class Refused(DistributionError):
    """The registry answered with an error: OCI distribution-spec, "Error Codes"."""

    def __init__(self, http: int, code: str, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.http, self.code, self.passing = http, code, passing


class NotThere(Refused):
    """No such thing in the registry."""

    status = 404


class Denied(Refused):
    """No credentials, or wrong ones, or no right to it."""


class BadContent(DistributionError):
    """What came is not what was asked for."""


class Cancelled(DistributionError):
    """Whoever asked has gone."""

    status = 499
    passing = True
