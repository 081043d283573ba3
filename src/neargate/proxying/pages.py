"""What clients get when no target answers them: AWS's pages, word for word, as whole responses."""

_TITLES = {
    400: "400 Bad Request",
    408: "408 Request Time-out",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}
_REASONS = {503: "Service Unavailable"}
SERVER = "awselb/2.0"


def body(code: int) -> str:
    title = _TITLES[code]
    head = f"<html>\r\n<head><title>{title}</title></head>\r\n"
    return f"{head}<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"


def files() -> dict[str, str]:
    """By the name of the file, below the node's directory."""
    return {f"pages/{code}.http": _response(code) for code in _TITLES} | {"pages/503.html": body(503)}


def _response(code: int) -> str:
    words = _REASONS.get(code, _TITLES[code][4:])
    length = len(body(code))
    return (
        f"HTTP/1.1 {code} {words}\r\nServer: {SERVER}\r\nContent-Type: text/html\r\n"
        f"Content-Length: {length}\r\nConnection: keep-alive\r\n\r\n{body(code)}"
    )


def codes() -> tuple[int, ...]:
    return tuple(_TITLES)
