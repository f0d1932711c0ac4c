"""Asking a running appliance from outside."""
