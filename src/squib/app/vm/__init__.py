"""`squib vm`: `inputs` reads what the words name, `plan` makes the configuration, `preflight` looks, `session` runs it."""
