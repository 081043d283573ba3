"""Amazon Resource Names of the kinds Neargate makes. Only long formats are emitted; short ones are accepted."""

from msgspec import Struct


class Arn(Struct, frozen=True):
    """`arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`; region and account may be empty."""

    service: str
    region: str
    account: str
    resource: str
    partition: str = "aws"

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"

    @staticmethod
    def parse(text: str) -> "Arn | None":
        """The parts of an ARN, or None when `text` is not one."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not parts[1] or not parts[2] or not parts[5]:
            return None
        return Arn(service=parts[2], region=parts[3], account=parts[4], resource=parts[5], partition=parts[1])


def cluster_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:cluster/{name}"


def task_arn(region: str, account: str, cluster: str, task_id: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:task/{cluster}/{task_id}"


def container_arn(region: str, account: str, cluster: str, task_id: str, container_uuid: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:container/{cluster}/{task_id}/{container_uuid}"


def attachment_arn(region: str, account: str, attachment_id: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:attachment/{attachment_id}"


def task_definition_arn(region: str, account: str, family: str, revision: int) -> str:
    return f"arn:aws:ecs:{region}:{account}:task-definition/{family}:{revision}"


def service_arn(region: str, account: str, cluster: str, name: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:service/{cluster}/{name}"


def service_deployment_arn(region: str, account: str, cluster: str, name: str, ident: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:service-deployment/{cluster}/{name}/{ident}"


def service_revision_arn(region: str, account: str, cluster: str, name: str, ident: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:service-revision/{cluster}/{name}/{ident}"
