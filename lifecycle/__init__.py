"""The life of instances and bindings: records, what may happen to them, and what comes of it."""
