"""What this appliance answers."""

from squib.guest.handler import Request, Response


def answer(request: Request) -> Response:
    """Called once for each request: `request` has method, target, headers, and the values of the keys."""
    return Response(f"{request.keys['greeting']} from {request.target}\n".encode())
