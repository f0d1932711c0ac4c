"""squib turns a Python web app into an appliance: one image that boots as a microVM or runs as a container.

This file is loaded in the guest too, so it imports nothing.
"""

__version__ = "0.1.0"
