"""Everything that exists now, without secrets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from alibroker.sandbox.cloud import timestamp
from alibroker.sandbox.ram.policies import attachment_counts
from alibroker.sandbox.rds.lookup import live

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.rds.documents import Instance


def report(cloud: Cloud) -> dict[str, Any]:
    """List every resource by product."""
    cloud.servers.harvest(cloud)
    now = time.time()
    counts = attachment_counts(cloud)
    instances = [_instance(found, now) for found in live(cloud, now)]
    cloud.store.commit()
    return {
        "account": {
            "id": cloud.owner.id,
            "region": cloud.region,
            "vpc": cloud.owner.vpc,
            "vswitches": cloud.owner.vswitches,
        },
        "rds": {"instances": instances, "servers": cloud.servers.engines},
        "oss": {
            "buckets": [
                {
                    "name": bucket.name,
                    "owner": bucket.owner,
                    "mine": bucket.owner == cloud.owner.id,
                    "acl": bucket.acl,
                    "tags": bucket.tags,
                    "created": timestamp(bucket.created),
                    "objects": cloud.objects.count(f"{bucket.name}/"),
                    "versions": cloud.history.count(f"{bucket.name}/"),
                    "uploads": cloud.uploads.count(f"{bucket.name}/"),
                }
                for bucket in cloud.buckets.values()
            ]
        },
        "ram": {
            "users": [
                {
                    "name": user.name,
                    "comments": user.comments,
                    "keys": [{"id": key, "active": cloud.keys[key].active} for key in user.keys],
                    "policies": list(user.policies),
                    "groups": list(user.groups),
                    "created": timestamp(user.created),
                }
                for user in cloud.users.values()
            ],
            "groups": [
                {"name": group.name, "policies": list(group.policies)}
                for group in cloud.groups.values()
            ],
            "policies": [
                {
                    "name": policy.name,
                    "document": policy.document,
                    "attachments": counts[f"Custom/{policy.name}"],
                    "tags": policy.tags,
                }
                for policy in cloud.policies.values()
            ],
            "roles": [
                {"name": role.name, "policies": list(role.policies)}
                for role in cloud.roles.values()
            ],
        },
        "sts": {"sessions": sum(found.expires > now for found in cloud.sessions.values())},
    }


def _instance(found: Instance, now: float) -> dict[str, Any]:
    return {
        "id": found.id,
        "status": found.status(now),
        "description": found.description,
        "engine": found.engine,
        "version": found.version,
        "class": found.class_code,
        "storage": found.storage,
        "zone": found.zone,
        "host": found.connection_string,
        "port": found.port,
        "server": found.server or "simulated",
        "tags": found.tags,
        "client_token": found.client_token,
        "deletion_protection": found.deletion_protection,
        "created": timestamp(found.created),
        "accounts": [
            {
                "name": account.name,
                "type": account.type,
                "status": account.status(now),
                "description": account.description,
                "grants": {name: grant.privilege for name, grant in account.grants.items()},
            }
            for account in found.accounts.values()
        ],
        "databases": [
            {"name": database.name, "status": database.status(now), "charset": database.charset}
            for database in found.databases.values()
        ],
        "allow_lists": {group.name: list(group.ips) for group in found.ip_arrays.values()},
    }
