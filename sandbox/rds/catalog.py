"""What RDS sells: engines, classes and storage, after the vendor's instance type tables."""

from __future__ import annotations

from dataclasses import dataclass

ENGINES = {
    "MySQL": ("5.5", "5.6", "5.7", "8.0"),
    "PostgreSQL": ("10.0", "11.0", "12.0", "13.0", "14.0", "15.0", "16.0", "17.0", "18.0"),
    "MariaDB": ("10.3", "10.6"),
    "SQLServer": (
        *("2012", "2012_ent_ha", "2012_std_ha", "2012_web", "2014_ent_ha", "2014_std_ha"),
        *("2016_ent_ha", "2016_std_ha", "2016_web", "2017_ent", "2017_std_ha", "2017_web"),
        *("2019_ent", "2019_std_ha", "2019_web", "2022_ent", "2022_std_ha", "2022_web"),
        *("2025_ent", "2025_std"),
    ),
}
DEFAULT_PORTS = {"MySQL": 3306, "MariaDB": 3306, "PostgreSQL": 5432, "SQLServer": 1433}
HOST_LABELS = {"MySQL": "mysql", "MariaDB": "mariadb", "PostgreSQL": "pg", "SQLServer": "sqlserver"}
CHARSETS = {
    "MySQL": frozenset({"utf8", "gbk", "latin1", "utf8mb4"}),
    "MariaDB": frozenset({"utf8", "gbk", "latin1", "utf8mb4"}),
    "SQLServer": frozenset(
        {
            "Chinese_PRC_CI_AS",
            "Chinese_PRC_CS_AS",
            "SQL_Latin1_General_CP1_CI_AS",
            "SQL_Latin1_General_CP1_CS_AS",
            "Chinese_PRC_BIN",
        }
    ),
}
STORAGE_STEP = 5
# Storage type to its smallest and largest size in GB.
STORAGE_RANGES = {
    "local_ssd": (5, 6000),
    "general_essd": (10, 64000),
    "cloud_essd": (20, 64000),
    "cloud_essd2": (500, 64000),
    "cloud_essd3": (1500, 64000),
    "cloud_ssd": (20, 6000),
}
# Accepted at creation, shown as the second from then on.
STORAGE_ALIASES = {"cloud_auto": "general_essd"}
_CLOUD = ("cloud_essd", "cloud_essd2", "cloud_essd3", "general_essd", "cloud_ssd")
_SHARED = ("cloud_essd", "general_essd", "cloud_ssd")


@dataclass(frozen=True)
class InstanceClass:
    """A class: memory in GB, connections as a limit (0: none)."""

    code: str
    engine: str
    category: str
    cores: int
    memory: int
    connections: int
    storage_types: tuple[str, ...]


# Code, cores, memory in GB, connections.
_TABLE = """
mysql.n2.small.2c 1 2 2000
mysql.n2.medium.2c 2 4 4000
mysql.n4.medium.2c 2 8 6000
mysql.n8.medium.2c 2 16 8000
mysql.n2.large.2c 4 8 6000
mysql.n4.large.2c 4 16 8000
mysql.n8.large.2c 4 32 12000
mysql.n2.xlarge.2c 8 16 8000
mysql.n4.xlarge.2c 8 32 10000
mysql.n8.xlarge.2c 8 64 16000
mysql.x2.medium.2c 2 4 4000
mysql.x4.medium.2c 2 8 6000
mysql.x8.medium.2c 2 16 8000
mysql.x2.large.2c 4 8 6000
mysql.x4.large.2c 4 16 8000
mysql.x8.large.2c 4 32 12000
mysql.x4.xlarge.2c 8 32 10000
mysql.x4.2xlarge.2c 16 64 20000
mysql.x4.4xlarge.2c 32 128 40000
mysql.n2.small.xc 1 2 2200
mysql.n2.small.1 1 2 2000
mysql.n2e.small.1 1 2 2000
mysql.n2.medium.1 2 4 4000
mysql.n4.medium.1 2 8 6000
mysql.n4.large.1 4 16 8000
mysql.n4.xlarge.1 8 32 10000
rds.mysql.t1.small 1 1 300
rds.mysql.s1.small 1 2 600
rds.mysql.s2.large 2 4 1200
rds.mysql.s3.large 4 8 2000
rds.mysql.m1.medium 4 16 4000
rds.mysql.c1.large 8 16 4000
rds.mysql.c1.xlarge 8 32 8000
rds.mysql.c2.xlarge 16 64 16000
pg.n1e.1c.1m 1 1 20
pg.n2e.1c.1m 1 2 50
pg.n2.2c.1m 2 4 400
pg.n4.2c.1m 2 8 800
pg.n2.4c.1m 4 8 800
pg.n4.4c.1m 4 16 1600
pg.n4.8c.1m 8 32 3200
pg.n2.2c.2m 2 4 400
pg.x4.medium.2c 2 8 800
pg.x4.large.2c 4 16 1600
pg.x4.xlarge.2c 8 32 3200
pg.n2.small.2c 1 2 100
pg.n2.medium.2c 2 4 400
mssql.x2.medium.w1 2 4 0
mssql.x4.medium.w1 2 8 0
mssql.x2.large.w1 4 8 0
mssql.s2.medium.s2 2 4 0
mssql.x4.medium.s2 2 8 0
mssql.x4.large.s2 4 16 0
mssql.x4.xlarge.s2 8 32 0
mssql.x4.medium.e2 2 8 0
mssql.x4.large.e2 4 16 0
mariadb.n2.small.2c 1 2 2000
mariadb.n2.medium.2c 2 4 4000
mariadb.x2.large.2c 4 8 6000
mariadb.x4.large.2c 4 16 8000
mariadb.x2.xlarge.2c 8 16 8000
mariadb.x4.xlarge.2c 8 32 10000
mariadb.x2.2xlarge.2c 16 32 10000
mariadb.x4.2xlarge.2c 16 64 15000
mariadb.x8.2xlarge.2c 16 128 20000
mariadb.x4.4xlarge.2c 32 128 20000
mariadb.x8.4xlarge.2c 32 256 64000
mariadb.x4.8xlarge.2c 56 224 64000
mariadb.x8.8xlarge.2c 56 480 100000
"""
_ENGINE_LABELS = {"mysql": "MySQL", "pg": "PostgreSQL", "mssql": "SQLServer", "mariadb": "MariaDB"}
_CATEGORIES = {
    "1": "Basic",
    "1c": "Basic",
    "1m": "Basic",
    "w1": "Basic",
    "xc": "cluster",
    "e2": "AlwaysOn",
}


def _read(line: str) -> InstanceClass:
    code, cores, memory, connections = line.split()
    local = code.startswith("rds.")
    label = code.split(".")[1 if local else 0]
    if local:
        storage_types: tuple[str, ...] = ("local_ssd",)
    elif ".n4." in code and label == "mysql":
        storage_types = _SHARED
    else:
        storage_types = _CLOUD
    return InstanceClass(
        code=code,
        engine=_ENGINE_LABELS[label],
        category="HighAvailability"
        if local
        else _CATEGORIES.get(code.rpartition(".")[2], "HighAvailability"),
        cores=int(cores),
        memory=int(memory),
        connections=int(connections),
        storage_types=storage_types,
    )


CLASSES = {found.code: found for found in map(_read, _TABLE.strip().splitlines())}


def default_storage_type(found: InstanceClass) -> str:
    """Return the storage type of an instance that asked for none."""
    return found.storage_types[0]
