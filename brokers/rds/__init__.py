"""ApsaraDB RDS for MySQL as a service."""

from alibroker.brokers.rds.broker import create_broker

__all__ = ["create_broker"]
