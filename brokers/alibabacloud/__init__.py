"""Access to Alibaba Cloud, shared by the brokers for its services."""
