"""Firecracker: requests as a pure function, launch, its API, and what its refusals mean."""
