"""moto's own tests, from its pinned source distribution, run by a pytest of their own against a wipeable region.

Nothing of them is in this repository: the distribution is downloaded once, into pytest's cache directory.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from .moto_mends_ecs import ECS_MENDS
from .moto_mends_elb import ELB_MENDS

VERSION = "5.2.5"
ROOT = Path(__file__).parents[2]
PORT = 5000  # some of moto's tests name it
SUITE_MAX_S = 600


@dataclass(frozen=True, kw_only=True)
class Mend:
    """What a module's tests give to AWS that AWS would refuse, and what it would take in its place.

    Where a test looks for what it gave, that is the same text, and is mended with it. What else a test expects stays.
    """

    module: str
    given: str
    taken: str
    times: int


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A directory of moto's tests, or some modules of it; what each of them does is in `triage_file`, beside this.

    With `mends` those tests alone that its triage names: what they do as they come, another suite judges.
    """

    directory: str
    triage_file: str
    modules: tuple[str, ...] = ()
    mends: tuple[Mend, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.directory}_mended" if self.mends else self.directory

    def paths(self) -> list[str]:
        directory = f"tests/{self.directory}"
        if self.mends:
            named = (test.partition("::") for test in sorted(triage(self).must_pass))
            return [f"{directory}/{module}.py::{test}" for module, _, test in named]
        return [f"{directory}/{module}.py" for module in self.modules] or [directory]


ECS = Suite(directory="test_ecs", triage_file="moto_triage.toml")
VPC = Suite(
    directory="test_ec2",
    triage_file="moto_triage_vpc.toml",
    modules=(
        "test_account_attributes",
        "test_availability_zones_and_regions",
        "test_customer_gateways",
        "test_dhcp_options",
        "test_egress_only_igw",
        "test_elastic_ip_addresses",
        "test_elastic_network_interfaces",
        "test_flow_logs",
        "test_internet_gateways",
        "test_nat_gateway",
        "test_network_acls",
        "test_prefix_lists",
        "test_regions",
        "test_route_tables",
        "test_security_groups",
        "test_subnets",
        "test_tags",
        "test_virtual_private_gateways",
        "test_vpc_endpoint_services_integration",
        "test_vpc_peering",
        "test_vpc_service_configuration_integration",
        "test_vpcs",
        "test_vpn_connections",
    ),
)
CLOUD_MAP = Suite(
    directory="test_servicediscovery",
    triage_file="moto_triage_cloud_map.toml",
    modules=(  # all but test_server, which asks moto's own application
        "test_servicediscovery_httpnamespaces",
        "test_servicediscovery_instance",
        "test_servicediscovery_operations",
        "test_servicediscovery_service",
        "test_servicediscovery_service_attributes",
        "test_servicediscovery_tags",
    ),
)
_ELB_MODULES = (
    "test_elbv2",
    "test_elbv2_listener_attributes",
    "test_elbv2_listener_rule_tags",
    "test_elbv2_listener_rules",
    "test_elbv2_listener_tags",
    "test_elbv2_set_subnets",
    "test_elbv2_target_groups",
    "test_elbv2_target_health",
)
ELB = Suite(  # all but what asks moto's own application, CloudFormation, or EC2's instances alone
    directory="test_elbv2", triage_file="moto_triage_elb.toml", modules=_ELB_MODULES
)
ACM = Suite(directory="test_acm", triage_file="moto_triage_acm.toml", modules=("test_acm",))
# The subjects are certificates; behind the one that signed them, their chain has another that did not.
ACM_MENDED = Suite(
    directory="test_acm",
    triage_file="moto_triage_acm_mended.toml",
    mends=(
        Mend(
            module="test_acm",
            given='CA_CRT = get_resource("ca.pem")\n',
            taken='CA_CRT = get_resource("ca.pem").partition(b"\\n-----END")[0] + b"\\n-----END CERTIFICATE-----\\n"\n',
            times=1,
        ),
    ),
)
_INTERFACES, _SUBNETS, _LISTS = "test_elastic_network_interfaces", "test_subnets", "test_prefix_lists"
# Their subjects are interfaces, reservations and lists; their set-ups give AWS what it does not take.
VPC_MENDED = Suite(
    directory="test_ec2",
    triage_file="moto_triage_vpc_mended.toml",
    mends=(
        # A subnet's IPv6 network is one of its VPC's, which these VPCs have not.
        Mend(module=_INTERFACES, given=', Ipv6CidrBlock="2001:db8::/64"', taken="", times=1),
        Mend(module=_SUBNETS, given='        Ipv6CidrBlock="2602::/56",\n', taken="", times=8),
        Mend(module=_SUBNETS, given='        Ipv6CidrBlock="2602::/64",\n', taken="", times=8),
        # The subnet is 10.0.0.0/18, and an interface's groups are its VPC's.
        Mend(module=_INTERFACES, given='"54.0.0.1"', taken='"10.0.0.100"', times=9),
        Mend(module=_INTERFACES, given='Description="n/a"\n', taken='Description="n/a", VpcId=vpc.id\n', times=6),
        Mend(module=_INTERFACES, given='Description="desc"\n', taken='Description="desc", VpcId=vpc.id\n', times=2),
        # AddressFamily is IPv4 or IPv6; entries are networks.
        Mend(module=_LISTS, given='AddressFamily="?"', taken='AddressFamily="IPv4"', times=14),
        Mend(module=_LISTS, given='["AddressFamily"] == "?"', taken='["AddressFamily"] == "IPv4"', times=1),
        *(
            Mend(module=_LISTS, given=f'"10.0.0.{n}"', taken=f'"10.0.0.{n}/32"', times=times)
            for n, times in ((1, 6), (2, 9), (3, 7), (4, 1))
        ),
    ),
)
ELB_MENDED = Suite(
    directory="test_elbv2",
    triage_file="moto_triage_elb_mended.toml",
    mends=tuple(
        Mend(module=module, given=given, taken=taken, times=times) for module, given, taken, times in ELB_MENDS
    ),
)
ECS_MENDED = Suite(
    directory="test_ecs",
    triage_file="moto_triage_mended.toml",
    mends=tuple(
        Mend(module=module, given=given, taken=taken, times=times) for module, given, taken, times in ECS_MENDS
    ),
)
SUITES = (ECS, ECS_MENDED, VPC, VPC_MENDED, CLOUD_MAP, ACM, ACM_MENDED, ELB, ELB_MENDED)


_IMPORTED = {"test_elbv2"}  # by ACM's tests


@dataclass(frozen=True, kw_only=True)
class Triage:
    must_pass: frozenset[str]
    reasons: dict[str, str]  # of every test that does not pass
    either_way: dict[str, str]  # of every test that passes on some days


def triage(suite: Suite) -> Triage:
    listed = tomllib.loads(Path(__file__).with_name(suite.triage_file).read_text())
    others, either_way = (
        [
            (test, f"{verdict}: {group['why']}")
            for verdict in verdicts
            for group in listed.get(verdict, ())
            for test in group["tests"]
        ]
        for verdicts in (("contradicts_aws", "out_of_scope"), ("either_way",))
    )
    names = [*listed["must_pass"], *(test for test, _ in (*others, *either_way))]
    assert len(names) == len(set(names)), "a test is listed twice"
    return Triage(must_pass=frozenset(listed["must_pass"]), reasons=dict(others), either_way=dict(either_way))


def judged(found: dict[str, str], verdicts: Triage) -> list[str]:
    """What is wrong with a run. `found`: test -> passed, failed or skipped."""
    known = verdicts.must_pass | set(verdicts.reasons) | set(verdicts.either_way)
    wrong = [
        f"{name}: must pass, and {found[name]}"
        for name in sorted(verdicts.must_pass & set(found))
        if found[name] != "passed"
    ]
    wrong += [
        f"{name}: passes, though it is listed as {why}"
        for name, why in sorted(verdicts.reasons.items())
        if found.get(name) == "passed"
    ]
    wrong += [f"{name}: is not listed" for name in sorted(set(found) - known)]
    wrong += [f"{name}: is listed, and not in the suite" for name in sorted(known - set(found))]
    return wrong


def source(cache_directory: Path) -> Path:
    """moto's source tree, as far as the suites' tests. Raises RuntimeError with pip's own words."""
    target = cache_directory / f"moto-{VERSION}-{'-'.join(dict.fromkeys(suite.directory for suite in SUITES))}"
    if target.exists():
        return target
    cache_directory.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: another process may be downloading too, and what is half there must not be found.
    with tempfile.TemporaryDirectory(dir=cache_directory) as aside:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "moto"]
        found = subprocess.run(
            [*command, "--dest", aside, f"moto=={VERSION}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode != 0:
            raise RuntimeError(f"moto's tests cannot be downloaded: {found.stderr.strip()[-2000:]}")
        unpacked = Path(aside) / "unpacked"
        with tarfile.open(Path(aside) / f"moto-{VERSION}.tar.gz") as archive:
            wanted = [
                member
                for member in archive.getmembers()
                if member.name == f"moto-{VERSION}/setup.cfg" or _is_wanted(member.name.split("/"))
            ]
            archive.extractall(unpacked, members=wanted, filter="data")
        with contextlib.suppress(OSError):  # the other process was first
            (unpacked / f"moto-{VERSION}").rename(target)
    return target


def _is_wanted(parts: list[str]) -> bool:
    """The suites' directories, and the modules beside them."""
    wanted = {suite.directory for suite in SUITES} | _IMPORTED
    return parts[1:2] == ["tests"] and (parts[2] in wanted if len(parts) > 3 else parts[-1].endswith(".py"))


@contextlib.contextmanager
def target() -> Iterator[int]:
    """A wipeable region of its own process; yields the port. Another one than PORT only while that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        is_taken = probe.connect_ex(("127.0.0.1", PORT)) == 0
    command = [sys.executable, "-m", "tests.conformance.moto_target", "--anybody-may-wipe-everything"]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [*command, "--port", str(0 if is_taken else PORT)], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.strip().isdecimal():
                log.seek(0)
                raise RuntimeError(f"the region did not start: {log.read()[-2000:]!r}")
            yield int(line)
        finally:
            process.terminate()


def run(suite: Suite, tree: Path, port: int, results: Path) -> dict[str, str]:
    """Test -> passed, failed or skipped. Raises RuntimeError when the suite itself does not run."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_", "MOTO_"))},
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "TESTS_SKIP_REQUIRES_DOCKER": "true",
        "TEST_SERVER_MODE": "true",
        "TEST_SERVER_MODE_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    if suite.mends:
        tree = mended(suite, tree, results.parent / "mended")
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout", "60", "--tb=short", "-c", "setup.cfg"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={results}", *suite.paths()],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SUITE_MAX_S,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"moto's suite does not run: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return dict(_outcome(suite, case) for case in ElementTree.parse(results).iter("testcase"))


def mended(suite: Suite, tree: Path, target: Path) -> Path:
    """A copy of the tree in which the suite's tests give what AWS takes."""
    shutil.copytree(tree, target)
    for mend in suite.mends:
        module = target / "tests" / suite.directory / f"{mend.module}.py"
        text = module.read_text()
        assert text.count(mend.given) == mend.times, f"{mend.module} has {mend.given!r} {text.count(mend.given)} times"
        module.write_text(text.replace(mend.given, mend.taken))
    return target


def _outcome(suite: Suite, case: ElementTree.Element) -> tuple[str, str]:
    module = case.get("classname", "").rpartition(f"{suite.directory}.")[2]
    tags = {child.tag for child in case}
    found = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
    return f"{module}::{case.get('name')}", found
