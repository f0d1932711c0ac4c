"""Appliance + interpreter + kernel → tree → artifact. Planning is pure; writing is apart."""
