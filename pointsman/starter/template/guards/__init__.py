"""What the workflows may do, and who decides: policies, limits, roles."""
