"""What control costs: measured beside plain LangGraph, in one process, as ratios."""
