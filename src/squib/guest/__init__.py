"""What runs inside an appliance: PID 1, the HTTP server, the clock. Imports the standard library and httptools only.

The same code is the plain process behind `squib serve`. It starts on an emulated CPU in 40 MiB, so every import counts:
no dataclasses, typing, enum of its own, logging, argparse or asyncio here.
"""
