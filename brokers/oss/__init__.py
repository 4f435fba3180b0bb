"""Object Storage Service as a service."""

from alibroker.brokers.oss.broker import create_broker

__all__ = ["create_broker"]
