"""The use cases: what a person wants done, in terms of the rooms below. Nothing is printed here."""
