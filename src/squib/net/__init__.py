"""The host's network for guests: addresses, rules and changes as values, and the changes done and undone."""
