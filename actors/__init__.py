"""The actor system: dispatcher, workers, pollers, storage, supervision, and the pure lifecycle."""
