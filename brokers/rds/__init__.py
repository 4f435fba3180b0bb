"""ApsaraDB RDS as a service: MySQL, PostgreSQL, MariaDB and SQL Server."""

from alibroker.brokers.rds.broker import create_broker

__all__ = ["create_broker"]
