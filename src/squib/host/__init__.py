"""The only rooms that touch the operating system."""
