"""What a cell asks of the networks when it launches a service's task: the subnets, groups and addresses there are now.

Reads the registry's memory. Must not know services.
"""

from collections.abc import Sequence

from ...model.capacity import SubnetView
from ...model.errors import AwsError
from .addressing import addresses
from .registry import NetworkRegistry


class TaskNetworks:
    """Implements ServiceNetworks."""

    def __init__(self, network: NetworkRegistry) -> None:
        self._network = network

    def subnets(self, account: str, subnet_ids: Sequence[str]) -> tuple[SubnetView, ...]:
        found = (self._network.subnet(account, subnet_id) for subnet_id in dict.fromkeys(subnet_ids))
        return tuple(view for view in found if view is not None)

    def missing_groups(self, account: str, group_ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(group for group in group_ids if self._network.security_group(account, group) is None)

    def default_groups(self, account: str, vpc_id: str) -> tuple[str, ...]:
        try:
            return (self._network.default_security_group(account, vpc_id),)
        except AwsError:
            return ()  # the VPC went with its subnets between two questions: no task is placed

    def addresses(self, account: str, cluster: str, service: str) -> tuple[str, ...]:
        return addresses.of_service(self._network.shelf(account), cluster, service)

    async def addresses_now(self, account: str, cluster: str, service: str) -> tuple[str, ...]:
        await self._network.catch_up()
        return self.addresses(account, cluster, service)
