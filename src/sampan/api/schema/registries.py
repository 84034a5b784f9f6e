"""Registries: credentials, what is found there."""

from sampan.api.schema.base import Int64, Struct, omitted, shown


class AuthConfig(Struct):
    """POST /auth, and what X-Registry-Auth holds: credentials for one registry."""

    username: str = omitted("", "username")
    password: str = omitted("", "password")
    auth: str = omitted("", "auth")
    serveraddress: str = omitted("", "serveraddress")
    identitytoken: str = omitted("", "identitytoken")
    registrytoken: str = omitted("", "registrytoken")


class AuthStatus(Struct):
    """What a registry says of credentials."""

    identity_token: str = shown("")
    status: str = shown("")


class Descriptor(Struct):
    """A blob or manifest in a registry; `size` in bytes."""

    media_type: str = shown("", "mediaType")
    digest: str = shown("", "digest")
    size: Int64 = shown(0, "size")


class OCIPlatform(Struct):
    """What an image runs on."""

    architecture: str = shown("", "architecture")
    os: str = shown("", "os")
    variant: str = omitted("", "variant")


class DistributionInspect(Struct):
    """GET /distribution/{name}/json."""

    descriptor: Descriptor = shown(Descriptor())
    platforms: list[OCIPlatform] = shown([])


class SearchResult(Struct):
    """One element of GET /images/search."""

    star_count: int = shown(0, "star_count")
    is_official: bool = shown(False, "is_official")
    name: str = shown("", "name")
    is_automated: bool = shown(False, "is_automated")
    description: str = shown("", "description")
