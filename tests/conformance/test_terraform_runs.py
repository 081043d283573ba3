"""Terraform itself, with its AWS provider, before a region: applied, planned without changes, changed, destroyed.

Simulated hosts behind a real socket. What is applied lies in `terraform/`.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neargate.region import Region

from .served import KEY, REGION, SECRET
from .test_acm import made as certificate
from .test_ecs_clients import Clients, connected
from .test_ecs_services_behind_balancers import keeping

CONFIGURATION = Path(__file__).with_name("terraform")
# Where Terraform itself looks for providers, and where images of machines keep them.
PLACES = ("~/.terraform.d/plugins", "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins", "/opt/*")
BOUND_S = 300.0


def _mirror() -> Path | None:
    """A folder in which Terraform finds the AWS provider without asking a registry."""
    for place in PLACES:
        for found in Path("/").glob(str(Path(place).expanduser()).lstrip("/")):
            if any(found.glob("*/hashicorp/aws/*/*/terraform-provider-aws_*")):
                return found
    return None


MIRROR = _mirror()
needs_terraform = pytest.mark.skipif(
    shutil.which("terraform") is None or MIRROR is None,
    reason="Terraform is not installed, or no folder of this machine has its AWS provider",
)


class Terraform:
    def __init__(self, endpoint: str, work: Path) -> None:
        self._work = work
        pair = certificate("app.example.com")
        self._environment = {
            "HOME": str(work),
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHECKPOINT_DISABLE": "true",
            "TF_IN_AUTOMATION": "true",
            "TF_VAR_certificate": pair.pem.decode(),
            "TF_VAR_private_key": pair.key_pem.decode(),
        }
        for file in CONFIGURATION.glob("*.tf"):
            shutil.copy(file, work)
        self.run("init", f"-plugin-dir={MIRROR}")

    def run(self, *words: str, expected: int = 0, **variables: str) -> str:
        settings = {f"TF_VAR_{name}": value for name, value in variables.items()}
        command = ["terraform", words[0], "-input=false", "-no-color", *words[1:]]
        done = subprocess.run(
            command,
            cwd=self._work,
            env=self._environment | settings,
            capture_output=True,
            timeout=BOUND_S,
            check=False,
        )
        assert done.returncode == expected, f"{done.stdout.decode()}\n{done.stderr.decode()}"
        return done.stdout.decode()

    def apply(self, **variables: str) -> str:
        return self.run("apply", "-auto-approve", **variables)

    def has_no_changes(self, **variables: str) -> None:
        """Exit status 2 would be changes."""
        self.run("plan", "-detailed-exitcode", **variables)


@pytest.fixture
def clients(tmp_path: Path) -> Iterator[Clients]:
    opening: Callable[[list[Region]], Any] = lambda opened: keeping(tmp_path, opened)  # noqa: E731
    with connected(opening) as made:
        yield made


BALANCED = pytest.param(
    True,
    id="behind a load balancer",
    marks=pytest.mark.skipif(
        "NEARGATE_TERRAFORM_ALL" not in os.environ,
        reason="NEARGATE_TERRAFORM_ALL=1 runs it: the provider's fixed waits for load balancers take minutes",
    ),
)


@needs_terraform
@pytest.mark.timeout(600)
@pytest.mark.parametrize("balanced", [pytest.param(False, id="alone"), BALANCED])
def test_a_service_is_applied_changed_and_destroyed(clients: Clients, tmp_path: Path, balanced: bool) -> None:
    work = tmp_path / "work"
    work.mkdir()
    terraform = Terraform(clients.endpoint, work)
    if not balanced:
        clients.ecs.create_cluster(clusterName="tf-run")
    first = {"image": "web:1", "desired": "2", "balanced": str(balanced).lower()}
    terraform.apply(**first)
    if balanced:  # the other one is planned once, after its change
        terraform.has_no_changes(**first)
    second = first | {"image": "web:2", "desired": "3"}
    assert "Modifications complete" in terraform.apply(**second)
    [shown] = clients.ecs.describe_services(cluster="tf-run", services=["web"])["services"]
    assert (shown["runningCount"], len(shown["deployments"]), len(shown["loadBalancers"])) == (3, 1, int(balanced))
    assert shown["taskDefinition"].endswith(":task-definition/tf-web:2")
    terraform.has_no_changes(**second)
    terraform.run("destroy", "-auto-approve", **second)
    assert msgspec.json.decode((work / "terraform.tfstate").read_bytes())["resources"] == []
    [vpc] = clients.ec2.describe_vpcs()["Vpcs"]
    assert vpc["IsDefault"]
