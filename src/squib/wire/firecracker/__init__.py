"""Firecracker's API and configuration file (v1.12): `resources`, the whole file `vm_json`, and `requests` over the socket."""
