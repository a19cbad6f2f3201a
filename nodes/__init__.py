"""The workflows' state types and plain typed functions, one package or module for each workflow."""
