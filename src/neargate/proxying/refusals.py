"""Requests that a load balancer answers by itself on AWS, and its limits for what goes through it.

Source: "Troubleshoot your Application Load Balancers" and "Quotas", HTTP headers. What HAProxy's parser refuses comes
to no rule: it gets a page of HAProxy's own.
"""

from . import pages

HEADERS_MAX = 64 * 1024  # bytes of a request's line and headers together
RESPONSE_HEADERS_MAX = 32 * 1024
REWRITE = 4096  # bytes for what is added: a few headers to a request, cookies to a response
HEADER_COUNT_MAX = 1000
STREAMS_MAX = 128  # of one HTTP/2 connection at a time
_LINE_MAX = _HEADER_MAX = 16 * 1024
_URL_MAX = _LINE_MAX - len("GET  HTTP/1.1")
_FORWARDERS_MAX = 30


def limits() -> list[str]:
    """Of the whole process. A buffer holds all headers, and room for those that are added."""
    return [
        f"tune.bufsize {HEADERS_MAX + REWRITE}",
        f"tune.maxrewrite {REWRITE}",
        f"tune.http.maxhdr {HEADER_COUNT_MAX}",
        f"tune.h2.max-concurrent-streams {STREAMS_MAX}",
    ]


# A condition: neither the line nor a header can be too long.
SMALL = f"{{ req.len le {_URL_MAX} }}"


def of_requests(at: str) -> list[str]:
    """Lines of a frontend; none holds for what `forwarded.usual` lets pass. `at`: the node's directory."""
    large = pages.answer(400, at, pages.TOO_LARGE)
    # Each begins with what is false of most requests and costs least: `req.len` is known, headers would be copied.
    return [
        f"http-request {pages.answer(505, at)} if !HTTP_1.1 !HTTP_1.0 {{ fc_http_major 1 }}",
        f"http-request {pages.answer(400, at)} if {{ req.hdr_cnt(host) eq 0 }} HTTP_1.1",
        f"http-request {pages.answer(405, at)} if METH_TRACE",
        f"http-request {pages.answer(414, at)} if {{ req.len gt {_URL_MAX} }} {{ url,length gt {_URL_MAX} }}",
        # The second looks at every byte, and only where one header may be so long.
        f"http-request {large} if {{ req.len gt {_HEADER_MAX} }}"
        f" {{ req.hdrs -m reg '[^\\r\\n]{{{_HEADER_MAX + 1}}}' }}",
        f"http-request return status 463 hdr Server {pages.SERVER}"
        f" if {{ req.hdr_cnt(x-forwarded-for) gt {_FORWARDERS_MAX} }}",
    ]


def of_version(version: str) -> list[str]:
    """Lines of a backend: requests that its targets are not spoken to with."""
    refused = f"http-request return status 464 hdr Server {pages.SERVER} if"
    if version == "GRPC":
        return [f"{refused} {{ fc_http_major 1 }}", f"{refused} !METH_POST"]
    if version == "HTTP2":
        return [f"{refused} {{ fc_http_major 1 }}"]
    return [f"{refused} {{ fc_http_major 2 }} {{ req.hdr(content-type) -m beg application/grpc }}"]


def of_responses() -> list[str]:
    """Lines of a backend."""
    least = RESPONSE_HEADERS_MAX - 4 * HEADER_COUNT_MAX  # `res.len` is without what is between names, values and lines
    is_large = f"{{ res.len gt {least} }} {{ res.hdrs,length gt {RESPONSE_HEADERS_MAX} }}"
    return [f"http-response deny deny_status 502 if {is_large}"]
