"""One file per workflow: the wiring, `graph` last."""
