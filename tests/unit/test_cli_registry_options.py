"""How the registry is reached from other machines: what may be said, what goes together, what is refused."""

import pytest

from neargate.cli.config import RegionConfig, check
from neargate.cli.problems import Problem
from neargate.cli.registry_options import parse_listen
from neargate.definitions.own_images import is_ecr_image, is_own_image

DOMAIN, LISTEN = "images.example.net", "0.0.0.0:443"


@pytest.mark.parametrize("domain", ["images.example.net", "registry", "a-b.lan:5443"])
@pytest.mark.parametrize("listen", ["0.0.0.0:443", "192.168.1.5:5443", "[::]:443", "[2001:db8::1]:65535"])
def test_what_goes(domain: str, listen: str) -> None:
    check(RegionConfig(registry_domain=domain, registry_listen=listen))
    check(RegionConfig(registry_domain=domain, registry_listen=listen, registry_cert="/c", registry_key="/k"))
    check(RegionConfig(registry_domain=domain, tls_proxy="local"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"registry_domain": DOMAIN}, "needs --registry-listen"),
        ({"registry_listen": LISTEN}, "needs --registry-domain"),
        ({"registry_domain": DOMAIN, "registry_listen": LISTEN, "auth": "open"}, "not for --auth open"),
        ({"registry_domain": DOMAIN, "registry_listen": LISTEN, "registry_cert": "/c"}, "belong together"),
        ({"registry_domain": DOMAIN, "registry_listen": LISTEN, "registry_key": "/k"}, "belong together"),
        ({"registry_domain": DOMAIN, "tls_proxy": "local", "registry_cert": "/c", "registry_key": "/k"}, "is missing"),
    ],
)
def test_what_does_not_go_together(given: dict[str, str], words: str) -> None:
    with pytest.raises(Problem, match=words):
        check(RegionConfig(**given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "domain",
    [
        *("10.0.0.1", "Images.example.net", "images..net", "-a.net", "a_b.net", "images.example.net:0"),
        *(
            "images.example.net:65536",
            "images.example.net:",
            "https://images.example.net",
            "a" * 64,
            "a." * 100 + "net",
        ),
        *("localhost", "x.localhost:5000", "amazonaws.com", "x.amazonaws.com.cn", "images.example.net\n", "*.lan"),
    ],
)
def test_what_is_no_domain_of_ones_own(domain: str) -> None:
    with pytest.raises(Problem, match="--registry-domain"):
        check(RegionConfig(registry_domain=domain, registry_listen=LISTEN))


@pytest.mark.parametrize(
    "listen", ["443", ":443", "0.0.0.0", "0.0.0.0:0", "0.0.0.0:70000", "host:443", "300.1.1.1:443", "::443", "[x]:1"]
)
def test_what_is_no_place_to_listen(listen: str) -> None:
    with pytest.raises(Problem, match="write ADDRESS:PORT"):
        check(RegionConfig(registry_domain=DOMAIN, registry_listen=listen))


def test_an_address_is_read_as_it_is_bound() -> None:
    assert parse_listen("[2001:DB8::0]:443") == ("2001:db8::", 443)


def test_images_of_the_domain_are_the_regions_own() -> None:
    name = "123456789012.dkr.ecr.us-east-1.images.example.net:5443/team/app:1"
    assert is_ecr_image(name)
    assert is_own_image(name, "us-east-1", "images.example.net:5443")
    assert not is_own_image(name, "us-east-1", "images.example.net")
    assert not is_own_image(name, "us-east-1")
    assert not is_own_image(name, "eu-west-1", "images.example.net:5443")
    assert not is_own_image("images.example.net:5443/team/app:1", "us-east-1", "images.example.net:5443")
    local = "123456789012.dkr.ecr.us-east-1.localhost:4566/team/app:1"
    assert is_own_image(local, "us-east-1", "images.example.net:5443"), "definitions of before stay good"
    assert not is_own_image("123456789012.dkr.ecr.us-east-1.amazonaws.com/app", "us-east-1", "")
