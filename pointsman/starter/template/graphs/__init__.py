"""One file per workflow: the wiring, `graph` last. langgraph.json points here."""
