"""What clients do with services behind a load balancer: the same as with others, and they change which groups they use.

Owns the load balancer, its groups and listeners, which stay as they are. Must not look into the region.
"""

import re
from collections.abc import Mapping
from typing import Any

from .region import Unanswered
from .service_clients import NAMES, ServiceClients
from .workload import DEFINITIONS

_GROUPS = ("one", "two")
_RETRY_S = 0.5
_DELAY_S = 3
_ARN = re.compile(rb"<(?:LoadBalancerArn|TargetGroupArn)>([^<]+)<")
_PORT = 80
_SERVING = {"portMappings": [{"containerPort": _PORT}]}


def _serving(definition: dict[str, Any]) -> dict[str, Any]:
    """Its first container is the one that serves."""
    first, *others = definition["containers"]
    return {**definition, "containers": [{**first, "name": "web", **_SERVING}, *others]}


class BalancedClients(ServiceClients):
    definitions = tuple(_serving(one) for one in DEFINITIONS)
    groups: tuple[str, ...] = ()

    async def _prepare(self) -> None:
        await super()._prepare()
        subnets = {f"Subnets.member.{n}": subnet for n, subnet in enumerate(self._subnets, start=1)}
        balancer = await self._made("CreateLoadBalancer", {"Name": "front", "Scheme": "internal", **subnets})
        for n, name in enumerate(_GROUPS):
            given = {"Name": name, "Protocol": "HTTP", "Port": "80", "TargetType": "ip", "VpcId": self._vpc_id}
            group = await self._made("CreateTargetGroup", given)
            delay = {"Key": "deregistration_delay.timeout_seconds", "Value": str(_DELAY_S)}
            attributes = {f"Attributes.member.1.{member}": value for member, value in delay.items()}
            await self._made("ModifyTargetGroupAttributes", {"TargetGroupArn": group, **attributes})
            action = {"Type": "forward", "TargetGroupArn": group}
            listener = {
                "LoadBalancerArn": balancer,
                "Protocol": "HTTP",
                "Port": str(80 + n),
                **{f"DefaultActions.member.1.{member}": value for member, value in action.items()},
            }
            await self._made("CreateListener", listener)
            self.groups += (group,)

    async def _made(self, operation: str, params: Mapping[str, str]) -> str:
        """Repeated until it is answered: what was made before is answered, or is there. The first ARN of the answer."""
        while True:
            try:
                status, body = await self._caller.query(operation, params, service="elasticloadbalancing")
            except Unanswered:
                status, body = 503, b""
            if status == 200 or b"DuplicateListener" in body:
                found = _ARN.search(body)
                return found[1].decode() if found else ""
            if status not in (429, 503) and b"Throttling" not in body:
                self._sim.fail("refused", f"{operation}: {body!r}")
                return ""
            await self.world.sleep(_RETRY_S)

    def _besides(self) -> dict[str, Any]:
        return {"loadBalancers": self._chosen()}

    async def _act(self, marker: str) -> None:
        if self._rng.random() < 0.1:
            name = self._rng.choice(NAMES)
            await self._update(name, {"loadBalancers": self._chosen()}, "moved")
            return
        await super()._act(marker)

    def _chosen(self) -> list[dict[str, Any]]:
        groups = self._rng.sample(self.groups, self._rng.choice((0, 1, 1, 2)))
        return [{"targetGroupArn": arn, "containerName": "web", "containerPort": _PORT} for arn in groups]
