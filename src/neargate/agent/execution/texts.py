"""AWS's sentences for what the execution role could not get, by the store it was asked for.

Owns their words ("Stopped tasks error codes"). Pure.
"""

from ..task_context import LaunchFailed
from .aws_api import CallFailed

_HEAD = "ResourceInitializationError: unable to pull secrets or registry auth: "
_CHECK = "Check your task network configuration. "

PARAMETERS = "unable to retrieve secrets from ssm"
SECRET = "unable to retrieve secret from asm"  # noqa: S105 - a sentence
REGISTRY = "unable to retrieve ecr registry auth"

_NO_WAY = {
    PARAMETERS: (
        f"{PARAMETERS}: The task cannot pull secrets from AWS Systems Manager. There is a connection issue between "
        f"the task and AWS Systems Manager Parameter Store. {_CHECK}"
    ),
    SECRET: f"{SECRET}: There is a connection issue between the task and AWS Secrets Manager. {_CHECK}",
    REGISTRY: (
        "The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon "
        f"ECR. {_CHECK}"
    ),
}


def call_failed(what: str, failure: CallFailed, before: str = "") -> LaunchFailed:
    """`before`: what stands before the service's own words."""
    if failure.unreachable:
        return LaunchFailed(f"{_HEAD}{_NO_WAY[what]}{before}{failure.text}")
    return retrieval_failed(what, f"{before}{failure.text}", attempts=failure.attempts)


def retrieval_failed(what: str, text: str, *, attempts: int = 1) -> LaunchFailed:
    return LaunchFailed(
        f"{_HEAD}execution resource retrieval failed: {what}: service call has been retried {attempts} time(s): {text}"
    )
