"""What each ACM operation asks leave for. Source: Service Authorization Reference, "AWS Certificate Manager"."""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_CERTIFICATE = "certificate/{certificate}"
_TAGS = ("aws:ResourceTag/",)


def _rows(level: Level, names: str, *forms: str, keys: tuple[str, ...] = ()) -> dict[str, tuple[Rule, ...]]:
    return {name: (rule(f"acm:{name}", level, *forms, keys=keys),) for name in names.split()}


_TAGGING = rule("acm:AddTagsToCertificate", Level.TAGGING, "*", keys=REQUEST_TAGS, when="the request has tags")

ACTIONS: Actions = {
    **_rows(Level.TAGGING, "AddTagsToCertificate", _CERTIFICATE, keys=(*_TAGS, *REQUEST_TAGS)),
    **_rows(Level.TAGGING, "RemoveTagsFromCertificate", _CERTIFICATE, keys=(*_TAGS, *REQUEST_TAGS)),
    **_rows(Level.WRITE, "DeleteCertificate", _CERTIFICATE, keys=_TAGS),
    **_rows(Level.READ, "DescribeCertificate GetCertificate ListTagsForCertificate", _CERTIFICATE, keys=_TAGS),
    **_rows(Level.LIST, "ListCertificates", "*"),
    "ImportCertificate": (
        rule("acm:ImportCertificate", Level.WRITE, _CERTIFICATE, "*", keys=(*_TAGS, *REQUEST_TAGS)),
        _TAGGING,
    ),
    "RequestCertificate": (
        rule(
            "acm:RequestCertificate",
            Level.WRITE,
            "*",
            keys=("acm:DomainNames", "acm:KeyAlgorithm", "acm:ValidationMethod", *REQUEST_TAGS),
        ),
        _TAGGING,
    ),
}
