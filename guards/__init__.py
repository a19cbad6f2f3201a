"""Policies, limits and roles of these workflows."""
