"""What RAM and STS remember."""

from __future__ import annotations

import msgspec

# Attachments: "Custom/name" or "System/name" to the time it was attached.
Attachments = dict[str, float]


class AccessKey(msgspec.Struct, frozen=True):
    """A user's AccessKey; OSS accepts it from `oss_from` on."""

    id: str
    user: str
    sealed_secret: str
    created: float
    oss_from: float
    active: bool = True


class User(msgspec.Struct, frozen=True):
    """A RAM user. Groups are names with the time of joining."""

    name: str
    id: str
    created: float
    updated: float
    display_name: str = ""
    comments: str = ""
    email: str = ""
    mobile_phone: str = ""
    keys: tuple[str, ...] = ()
    groups: dict[str, float] = {}
    policies: Attachments = {}
    # Since when the user can log on to the console; 0 if it cannot.
    login_since: float = 0.0
    login_resets_password: bool = False
    login_binds_mfa: bool = False
    mfa_device: str = ""


class Group(msgspec.Struct, frozen=True):
    """A group of users; the users know their groups."""

    name: str
    id: str
    created: float
    updated: float
    comments: str = ""
    policies: Attachments = {}


class Role(msgspec.Struct, frozen=True):
    """A role that is assumed through STS or by the metadata service."""

    name: str
    id: str
    created: float
    trust: str
    description: str = ""
    max_session_seconds: int = 3600
    policies: Attachments = {}


class PolicyVersion(msgspec.Struct, frozen=True):
    """One version of a policy's document."""

    document: str
    created: float


class Policy(msgspec.Struct, frozen=True):
    """A custom policy. Versions are never renumbered."""

    name: str
    created: float
    updated: float
    versions: dict[str, PolicyVersion]
    default: str = "v1"
    last_version: int = 1
    description: str = ""
    tags: dict[str, str] = {}

    @property
    def document(self) -> str:
        """The document that is in force."""
        return self.versions[self.default].document


class Session(msgspec.Struct, frozen=True):
    """Credentials that STS issued for a role."""

    key_id: str
    sealed_secret: str
    token: str
    role: str
    name: str
    expires: float
    policy: str = ""
