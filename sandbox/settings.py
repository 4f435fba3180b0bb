"""What can be set while the sandbox runs; kept over restarts."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Rate = Annotated[float, Meta(gt=0)]
Engine = Literal["MySQL", "PostgreSQL", "MariaDB", "SQLServer"]
Product = Literal["rds", "ram", "sts", "vpc", "oss"]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulation's knobs.

    Attributes:
        time_scale: Simulated durations are multiplied by this; 1.0 is the cloud's pace, 0 none.
        latency_ms: Delay of every API answer, in milliseconds.
        signature_v1: Whether OSS accepts signature version 1.
        public_data_api: Whether OSS's public endpoints in mainland China serve objects, as they do
            for accounts that activated OSS before 2025-03-20.
        instance_quota: RDS instances per account.
        accounts_per_instance: Database accounts per RDS instance.
        databases_per_instance: Databases per RDS instance.
        bucket_quota: OSS buckets per region.
        user_quota: RAM users per account.
        group_quota: RAM groups per account.
        policy_quota: Custom RAM policies per account.
        client_token_seconds: How long a ClientToken is remembered, in real seconds.
        orders_tagged: Whether CreateDBInstance puts the tags on that it is given.
        role_credential_seconds: Lifetime of the metadata service's credentials, in real seconds.
        metadata_token_required: Whether the metadata service refuses calls without a token.
        first_account_super: Engines whose instances want a Super account to be the first one;
            true for all, false for none.
        grants_keep_accounts: Whether PostgreSQL keeps an account for a grant alone, and not only
            for what it owns.
        not_found_form: How RDS says that an instance does not exist.
        out_of_stock: Zones ("cn-hangzhou-h"), classes, or classes in zones
            ("cn-hangzhou-h/mysql.n2.medium.2c") that are sold out.
        not_sold: Zones, or classes in zones, that are not on sale at all.
        rate_limits: Calls per second by product; more are throttled.
    """

    time_scale: Annotated[float, Meta(ge=0, le=100)] = 0.02
    latency_ms: Annotated[float, Meta(ge=0, le=600_000)] = 0.0
    signature_v1: bool = True
    public_data_api: bool = False
    instance_quota: Count = 200
    accounts_per_instance: Count = 500
    databases_per_instance: Count = 500
    bucket_quota: Count = 100
    user_quota: Count = 5000
    group_quota: Count = 300
    policy_quota: Count = 1500
    client_token_seconds: Annotated[float, Meta(ge=0)] = 86_400.0
    orders_tagged: bool = True
    role_credential_seconds: Annotated[float, Meta(gt=0)] = 3600.0
    metadata_token_required: bool = False
    first_account_super: bool | tuple[Engine, ...] = ("SQLServer",)
    grants_keep_accounts: bool = True
    not_found_form: Literal["id", "name", "empty"] = "id"
    out_of_stock: tuple[str, ...] = ()
    not_sold: tuple[str, ...] = ()
    rate_limits: dict[Product, Rate] = {}


def merge(settings: Settings, changes: bytes) -> Settings:
    """Apply a JSON object of changed settings.

    Raises:
        msgspec.ValidationError: A name is unknown or a value out of range; the text says which.
        msgspec.DecodeError: The text is no JSON.
    """
    given = msgspec.json.decode(changes, type=dict[str, msgspec.Raw])
    current = msgspec.json.decode(msgspec.json.encode(settings), type=dict[str, msgspec.Raw])
    return msgspec.json.decode(msgspec.json.encode({**current, **given}), type=Settings)
