"""The table of RDS's actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alibroker.sandbox.rds import (
    accounts,
    allow_lists,
    backups,
    creation,
    databases,
    discovery,
    instances,
    pausing,
    security_groups,
    tags,
    tde,
    tls,
)
from alibroker.sandbox.rpc import Action, Product

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.parameters import Parameters


def _resource(cloud: Cloud, parameters: Parameters) -> str:
    name = parameters.get("DBInstanceId", "*")
    return f"acs:rds:{cloud.region}:{cloud.owner.id}:dbinstance/{name}"


_ACTIONS = {
    "CreateDBInstance": creation.create_db_instance,
    "DescribeDBInstances": instances.describe_db_instances,
    "DescribeDBInstanceAttribute": instances.describe_db_instance_attribute,
    "DescribeDBInstanceNetInfo": instances.describe_db_instance_net_info,
    "DeleteDBInstance": instances.delete_db_instance,
    "StopDBInstance": pausing.stop_db_instance,
    "StartDBInstance": pausing.start_db_instance,
    "ModifyDBInstanceSpec": instances.modify_db_instance_spec,
    "ModifyDBInstanceDescription": instances.modify_db_instance_description,
    "ModifyDBInstanceDeletionProtection": instances.modify_db_instance_deletion_protection,
    "DescribeTasks": instances.describe_tasks,
    "ModifySecurityIps": allow_lists.modify_security_ips,
    "DescribeDBInstanceIPArrayList": allow_lists.describe_db_instance_ip_array_list,
    "DescribeBackupPolicy": backups.describe_backup_policy,
    "ModifyBackupPolicy": backups.modify_backup_policy,
    "DescribeSecurityGroupConfiguration": security_groups.describe_security_group_configuration,
    "ModifySecurityGroupConfiguration": security_groups.modify_security_group_configuration,
    "DescribeDBInstanceSSL": tls.describe_db_instance_ssl,
    "ModifyDBInstanceSSL": tls.modify_db_instance_ssl,
    "DescribeDBInstanceTDE": tde.describe_db_instance_tde,
    "ModifyDBInstanceTDE": tde.modify_db_instance_tde,
    "TagResources": tags.tag_resources,
    "UntagResources": tags.untag_resources,
    "ListTagResources": tags.list_tag_resources,
    "AddTagsToResource": tags.add_tags_to_resource,
    "CreateAccount": accounts.create_account,
    "DescribeAccounts": accounts.describe_accounts,
    "ResetAccountPassword": accounts.reset_account_password,
    "DeleteAccount": accounts.delete_account,
    "ModifyAccountDescription": accounts.modify_account_description,
    "LockAccount": accounts.lock_account,
    "UnlockAccount": accounts.unlock_account,
    "CreateDatabase": databases.create_database,
    "DescribeDatabases": databases.describe_databases,
    "DeleteDatabase": databases.delete_database,
    "GrantAccountPrivilege": databases.grant_account_privilege,
    "RevokeAccountPrivilege": databases.revoke_account_privilege,
    "DescribeRegions": discovery.describe_regions,
    "DescribeAvailableZones": discovery.describe_available_zones,
    "DescribeAvailableClasses": discovery.describe_available_classes,
    "DescribePrice": discovery.describe_price,
    "ListClasses": discovery.list_classes,
}

RDS = Product(
    name="rds",
    host="rds.aliyuncs.com",
    refusal="Forbidden.RAM",
    actions={name: Action(run, _resource) for name, run in _ACTIONS.items()},
)
