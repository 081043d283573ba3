"""Elastic Load Balancing's security policies: which protocols and ciphers a listener that ends TLS may speak.

Source: "Security policies for your Application Load Balancer" and DescribeSSLPolicies. The API shows them, a node's
proxy is configured from them. Those for FIPS and with post-quantum key exchange are not here: no proxy of ours keeps
what they promise. Names of ciphers are OpenSSL's, in AWS's order of preference.
"""

from collections.abc import Mapping

from msgspec import Struct

DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"  # of listeners that were made without one

_TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_TRIPLE_DES = "DES-CBC3-SHA"
_OLDER = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES128-SHA256",
    "AES128-SHA",
    "AES256-GCM-SHA384",
    "AES256-SHA256",
    "AES256-SHA",
)
_FORWARD_SECRET = tuple(cipher for cipher in _OLDER if cipher.startswith("ECDHE"))
_FORWARD_SECRET_SHA2 = tuple(cipher for cipher in _FORWARD_SECRET if not cipher.endswith("-SHA"))
_FORWARD_SECRET_GCM = tuple(cipher for cipher in _FORWARD_SECRET if "-GCM-" in cipher)
_SHA2 = tuple(cipher for cipher in _OLDER if not cipher.endswith("-SHA"))
_1_3, _1_2, _1_1, _1_0 = "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1"


class TlsPolicy(Struct, frozen=True, kw_only=True):
    """`ciphers`: those of TLS 1.3 first."""

    name: str
    protocols: tuple[str, ...]
    ciphers: tuple[str, ...]


def _policy(short: str, protocols: tuple[str, ...], older: tuple[str, ...]) -> TlsPolicy:
    ciphers = (*(_TLS13 if _1_3 in protocols else ()), *older)
    return TlsPolicy(name=f"ELBSecurityPolicy-{short}", protocols=protocols, ciphers=ciphers)


TLS_POLICIES: Mapping[str, TlsPolicy] = {
    policy.name: policy
    for policy in (
        _policy("2016-08", (_1_0, _1_1, _1_2), _OLDER),
        _policy("TLS-1-2-2017-01", (_1_2,), _SHA2),
        _policy("TLS-1-1-2017-01", (_1_1, _1_2), _OLDER),
        _policy("TLS-1-2-Ext-2018-06", (_1_2,), _OLDER),
        _policy("FS-2018-06", (_1_0, _1_1, _1_2), _FORWARD_SECRET),
        _policy("2015-05", (_1_0, _1_1, _1_2), _OLDER),
        _policy("TLS-1-0-2015-04", (_1_0, _1_1, _1_2), (*_OLDER, _TRIPLE_DES)),
        _policy("FS-1-2-Res-2019-08", (_1_2,), _FORWARD_SECRET_SHA2),
        _policy("FS-1-1-2019-08", (_1_1, _1_2), _FORWARD_SECRET),
        _policy("FS-1-2-2019-08", (_1_2,), _FORWARD_SECRET),
        _policy("FS-1-2-Res-2020-10", (_1_2,), _FORWARD_SECRET_GCM),
        _policy("TLS13-1-0-2021-06", (_1_0, _1_1, _1_2, _1_3), _OLDER),
        _policy("TLS13-1-1-2021-06", (_1_1, _1_2, _1_3), _OLDER),
        _policy("TLS13-1-2-2021-06", (_1_2, _1_3), _FORWARD_SECRET_SHA2),
        _policy("TLS13-1-2-Res-2021-06", (_1_2, _1_3), _FORWARD_SECRET_GCM),
        _policy("TLS13-1-2-Ext1-2021-06", (_1_2, _1_3), _SHA2),
        _policy("TLS13-1-2-Ext2-2021-06", (_1_2, _1_3), _OLDER),
        _policy("TLS13-1-3-2021-06", (_1_3,), ()),
    )
}
