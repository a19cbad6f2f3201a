"""What is made of recorded runs: replayed, compared, scored, gated; needs the extra `eval`."""
