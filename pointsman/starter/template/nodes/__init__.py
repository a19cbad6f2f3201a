"""The workflows' state types and plain typed functions; what models are told lies in `prompts/`."""
