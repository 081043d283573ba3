"""What clients get when no target answers them: AWS's pages, word for word, as whole responses and as bodies alone."""

from .words import quoted

_TITLES = {
    301: "301 Moved Permanently",
    302: "302 Found",
    400: "400 Bad Request",
    405: "405 Not Allowed",
    408: "408 Request Time-out",
    414: "414 Request-URI Too Large",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
    505: "505 HTTP Version Not Supported",
}
_REASONS = {503: "Service Unavailable"}
_OF_PROXY = (400, 408, 500, 502, 503, 504)  # codes that the proxy answers by itself
TOO_LARGE = "pages/too-large.html"
SERVER = "awselb/2.0"


def body(code: int) -> str:
    return _html(_TITLES[code], _TITLES[code])


def _html(title: str, heading: str, more: str = "") -> str:
    head = f"<html>\r\n<head><title>{title}</title></head>\r\n"
    said = f"<center>{more}</center>\r\n" if more else ""
    return f"{head}<body>\r\n<center><h1>{heading}</h1></center>\r\n{said}</body>\r\n</html>\r\n"


def unreached(gone_by: str) -> str:
    """A format of the proxy's: the page of 504 where `gone_by`, a boolean, holds, else that of 502."""
    title = f"%[{gone_by},iif(504,502)] %[{gone_by},iif(Gateway,Bad)] %[{gone_by},iif(Time-out,Gateway)]"
    return _html(title, title)


def files() -> dict[str, str]:
    """By the name of the file, below the node's directory."""
    large = "Request Header Or Cookie Too Large"
    found = {f"pages/{code}.http": _response(code) for code in _OF_PROXY}
    found |= {f"pages/{code}.html": body(code) for code in _TITLES}
    return {**found, TOO_LARGE: _html(f"400 {large}", _TITLES[400], large)}


def answer(code: int, at: str, file: str = "") -> str:
    """Of a rule: the code with its page. `at`: the node's directory."""
    path = f"{at}/{file or f'pages/{code}.html'}"
    return f"return status {code} content-type text/html file {quoted(path)} hdr Server {SERVER}"


def _response(code: int) -> str:
    words = _REASONS.get(code, _TITLES[code][4:])
    length = len(body(code))
    return (
        f"HTTP/1.1 {code} {words}\r\nServer: {SERVER}\r\nContent-Type: text/html\r\n"
        f"Content-Length: {length}\r\nConnection: keep-alive\r\n\r\n{body(code)}"
    )


def codes() -> tuple[int, ...]:
    return _OF_PROXY
