"""What clients do with services: make, roll, scale and delete them, stop and protect their tasks, and look at them.

Owns the choices and which refusals are an answer; at the end every service is asked for something that can be had.
Must not look into the region.
"""

from typing import Any

from .region import ACCOUNT, REGION, Unanswered
from .workload import CLUSTER, Workload, code_of

_ATTEMPTS = 3
_RETRY_S = 0.5
NAMES = ("api", "shop", "mail")
_FAMILIES = ("web", "web", "large", "job")  # a job ends by itself: what is made of it never becomes steady
_LIMITS = ((100, 200), (50, 200), (0, 100), (0, 150))  # minimum and maximum per cent; they leave a way for one task
_DESIRED_MAX = 4
# Refusals that another client's change explains; anything else is a failure of the run.
_ANSWERS = ("ServiceNotFoundException", "ServiceNotActiveException")
_WORDS = ("not idempotent", "still Draining", "deployments are active", "referenced task was not found")


class ServiceClients(Workload):
    """`calls` of them, each one request or two."""

    async def _script(self) -> None:
        await super()._script()
        for name in NAMES:
            await self._settle(name)

    async def _act(self, marker: str) -> None:
        name = self._rng.choice(NAMES)
        choice = self._rng.random()
        if choice < 0.3:
            await self._create(marker, name)
        elif choice < 0.55:
            await self._update(name, {"desiredCount": self._rng.randint(0, _DESIRED_MAX)}, "scaled")
        elif choice < 0.75:
            family = self._rng.choice(_FAMILIES)
            await self._update(name, {"taskDefinition": family, "forceNewDeployment": True}, "rolled")
        elif choice < 0.8:
            await self._ask("DeleteService", {"cluster": CLUSTER, "service": name, "force": True}, "deleted")
        elif choice < 0.95:
            await self._touch_task(name)
        else:
            await self._ask("DescribeServices", {"cluster": CLUSTER, "services": [name]}, "described")

    async def _create(self, marker: str, name: str) -> None:
        subnets = self._rng.sample(self._subnets, self._rng.randint(1, 3))
        minimum, maximum = self._rng.choice(_LIMITS)
        breaker = self._rng.random() < 0.5
        params: dict[str, Any] = {
            "cluster": CLUSTER,
            "serviceName": name,
            "taskDefinition": self._rng.choice(_FAMILIES),
            "desiredCount": self._rng.randint(0, _DESIRED_MAX),
            "launchType": "FARGATE",
            "clientToken": marker,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets}},
            "availabilityZoneRebalancing": self._rng.choice(("ENABLED", "DISABLED")) if maximum > 100 else "DISABLED",
            "deploymentConfiguration": {
                "minimumHealthyPercent": minimum,
                "maximumPercent": maximum,
                "deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker},
            },
            **self._besides(),
        }
        await self._ask("CreateService", params, "created")

    def _besides(self) -> dict[str, Any]:
        """What else a service is made with."""
        return {}

    async def _update(self, name: str, changes: dict[str, Any], what: str) -> bool:
        return await self._ask("UpdateService", {"cluster": CLUSTER, "service": name, **changes}, what) is not None

    async def _touch_task(self, name: str) -> None:
        answer = await self._ask("ListTasks", {"cluster": CLUSTER, "serviceName": name}, "listed")
        arns = answer["taskArns"] if answer is not None else []
        if not arns:
            return
        task = str(self._rng.choice(arns))
        if self._rng.random() < 0.5:
            await self._ask("StopTask", {"cluster": CLUSTER, "task": task}, "stopped")
            return
        protection = {"protectionEnabled": True, "expiresInMinutes": 1}
        await self._ask("UpdateTaskProtection", {"cluster": CLUSTER, "tasks": [task], **protection}, "protected")

    async def _settle(self, name: str) -> None:
        """Whatever it was asked for before: now for tasks that run. A service that drains stays alone."""
        listed = await self._ask("ListTasks", {"cluster": CLUSTER, "serviceName": name}, "listed")
        if listed is not None and listed["taskArns"]:
            unprotect = {"cluster": CLUSTER, "tasks": listed["taskArns"][:10], "protectionEnabled": False}
            await self._sure("UpdateTaskProtection", unprotect)
        wish = {"taskDefinition": "web", "desiredCount": self._rng.randint(1, 3), "forceNewDeployment": True}
        document = await self._sure("UpdateService", {"cluster": CLUSTER, "service": name, **wish}, accepted=_ANSWERS)
        if "service" in document:
            arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{CLUSTER}/{name}"
            if document["service"]["serviceArn"] != arn:
                self._sim.fail("service", f"{name} has the ARN {document['service']['serviceArn']}")
            self._sim.count("services-settled")

    async def _ask(self, operation: str, params: dict[str, Any], what: str) -> dict[str, Any] | None:
        """None when it was refused, or given up."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await self.world.sleep(_RETRY_S * 2**attempt)
            try:
                answer = await self._caller.call(operation, params)
            except Unanswered:
                self._sim.count("unanswered")
                continue
            if answer.status == 503 or code_of(answer) == "ThrottlingException":
                self._sim.count("throttled")
                continue
            if answer.status == 200:
                self._sim.count(f"services-{what}")
                return answer.document
            if code_of(answer) not in _ANSWERS and not any(word in str(answer.document) for word in _WORDS):
                self._sim.fail("refused", f"{operation}: {answer.document}")
            return None
        return None
