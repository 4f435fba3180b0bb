"""The store: a client of etcd, an embedded server, and records as bytes."""
