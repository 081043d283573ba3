"""What clients do with VPCs: make and change them, launch tasks into them, take away what can be taken away.

Owns the choices and which refusals are an answer. A client sees what a console shows it: the account's objects as the
living process has them. Must not look further into the region.
"""

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from ...frontend.network.records.objects import ElasticAddress, InternetGateway, NatGateway, RouteTable, Subnet, Vpc
from ...frontend.network.records.security_groups import SecurityGroupView
from ...frontend.regional.shelves import Shelf
from .region import ACCOUNT, ZONES, Unanswered
from .workload import CLUSTER, Workload

_ATTEMPTS = 3
_RETRY_S = 0.5
_VPCS_MAX = 4
_EVERYWHERE = "0.0.0.0/0"
_CODE = re.compile(rb"<Code>([^<]+)</Code>")
# Refusals that another client's change, or the zones' state, explains; anything else is a failure of the run.
_ANSWERS = frozenset(
    {
        "AddressLimitExceeded",
        "DependencyViolation",
        "Gateway.NotAttached",
        "InsufficientAddressCapacity",
        "InternetGatewayLimitExceeded",
        "InvalidAddress.InUse",
        "InvalidAllocationID.NotFound",
        "InvalidElasticIpID.NotFound",
        "InvalidGatewayID.NotFound",
        "InvalidGroup.Duplicate",
        "InvalidGroup.NotFound",
        "InvalidIPAddress.InUse",
        "InvalidInternetGatewayID.NotFound",
        "InvalidNatGatewayID.NotFound",
        "InvalidPermission.Duplicate",
        "InvalidPermission.NotFound",
        "InvalidRoute.NotFound",
        "InvalidRouteTableID.NotFound",
        "InvalidRouteTableId.NotFound",
        "InvalidSubnet",
        "InvalidSubnet.Conflict",
        "InvalidSubnetID.NotFound",
        "InvalidVpcID.NotFound",
        "NatGatewayLimitExceeded",
        "NatGatewayNotFound",
        "Resource.AlreadyAssociated",
        "RouteAlreadyExists",
        "VpcLimitExceeded",
    }
)
_DETACHED = b"belong to different networks"  # another client was faster than the route
_LOST_SUBNET = ("InvalidParameterException", "ClientException")


class VpcClients(Workload):
    """`calls` of them, each some requests that belong together."""

    async def _act(self, marker: str) -> None:
        region = self._server.region
        if region is None:
            return
        shelf = region.services.network.shelf(ACCOUNT)
        choice = self._rng.random()
        if choice < 0.25:
            await self._launch(marker, shelf)
        elif choice < 0.45:
            await self._gateway(marker, shelf)
        elif choice < 0.60:
            await self._take_gateway_away(shelf)
        elif choice < 0.70:
            await self._change(shelf)
        elif choice < 0.82:
            await self._make_vpc(marker, shelf)
        elif choice < 0.88 and self.tasks:
            await self.stop_task(self._rng.choice(self.tasks))
        else:
            await self._take_vpc_away(shelf)

    # -- tasks

    async def _launch(self, marker: str, shelf: Shelf) -> None:
        """Into subnets of one VPC, which others may delete meanwhile."""
        vpc = self._rng.choice(list(shelf.all(Vpc)))
        subnets = [one.name for one in shelf.all(Subnet) if one.vpc_id == vpc.name]
        if not subnets:
            return
        count = self._rng.choice((1, 2))
        public = "ENABLED" if self._rng.random() < 0.5 else "DISABLED"
        network = {"subnets": self._rng.sample(subnets, min(len(subnets), 3)), "assignPublicIp": public}
        params = {
            "cluster": CLUSTER,
            "taskDefinition": self._rng.choice(("web", "job")),
            "count": count,
            "startedBy": marker,
            "launchType": "FARGATE",
            "clientToken": marker,
            "networkConfiguration": {"awsvpcConfiguration": network},
        }
        self._checkers.book.asked[marker] = count
        for _ in range(_ATTEMPTS):
            try:
                answer = await self._caller.call("RunTask", params)
            except Unanswered:
                await self.world.sleep(_RETRY_S)
                continue
            if answer.status == 200:
                task_ids = tuple(str(task["taskArn"]).rpartition("/")[2] for task in answer.document["tasks"])
                self._checkers.ran(marker, marker, task_ids)
                self.tasks.extend(task_ids)
                self._sim.count("tasks-run" if task_ids else "no-capacity")
                return
            if str(answer.document.get("__type", "")).rpartition("#")[2] in _LOST_SUBNET:
                self._sim.count("subnet-lost")
                return
            await self.world.sleep(_RETRY_S)

    # -- gateways and their addresses

    async def _gateway(self, marker: str, shelf: Shelf) -> None:
        subnets = [one for one in shelf.all(Subnet) if self._rng.random() < 0.5] or list(shelf.all(Subnet))
        if not subnets:
            return
        subnet = self._rng.choice(subnets)
        asked: dict[str, str] = {"SubnetId": subnet.name, "ClientToken": marker}
        if self._rng.random() < 0.3:
            asked["ConnectivityType"] = "private"  # its zone is asked at once, and not first who has its address
        else:
            allocation = await self._address(shelf)
            if allocation is None:
                return
            asked["AllocationId"] = allocation
        if self._rng.random() < 0.2:
            first = subnet.cidr.rpartition(".")[0]
            asked["PrivateIpAddress"] = f"{first}.{int(subnet.cidr.rpartition('.')[2].partition('/')[0]) + 5}"
        body = await self._ec2("CreateNatGateway", asked)
        nat_id = _first(body, "natGatewayId")
        if nat_id is None:
            return
        tables = [one for one in shelf.all(RouteTable) if one.vpc_id == subnet.vpc_id]
        if tables:
            await self._route(self._rng.choice(tables), {"NatGatewayId": nat_id})
        if self._rng.random() < 0.3:
            await self.world.sleep(self._rng.choice((0.0, 0.01, 1.0)) * self._rng.random())
            await self._ec2("DeleteNatGateway", {"NatGatewayId": nat_id})

    async def _address(self, shelf: Shelf) -> str | None:
        """One that the account has, used or not, or a new one."""
        known = [one.name for one in shelf.all(ElasticAddress)]
        if known and self._rng.random() < 0.4:
            return self._rng.choice(known)
        return _first(await self._ec2("AllocateAddress", {"Domain": "vpc"}), "allocationId")

    async def _take_gateway_away(self, shelf: Shelf) -> None:
        gateways = [one for one in shelf.all(NatGateway) if one.state in ("pending", "available")]
        if gateways and self._rng.random() < 0.6:
            await self._ec2("DeleteNatGateway", {"NatGatewayId": self._rng.choice(gateways).name})
        known = [one.name for one in shelf.all(ElasticAddress)]
        if known:
            await self._ec2("ReleaseAddress", {"AllocationId": self._rng.choice(known)})
            if self._rng.random() < 0.5:
                await self._ec2("AllocateAddress", {"Domain": "vpc"})

    # -- routes and groups

    async def _route(self, table: RouteTable, target: Mapping[str, str]) -> None:
        asked = {"RouteTableId": table.name, "DestinationCidrBlock": _EVERYWHERE, **target}
        known = any(route.destination == _EVERYWHERE for route in table.routes)
        await self._ec2("ReplaceRoute" if known else "CreateRoute", asked)

    async def _change(self, shelf: Shelf) -> None:
        """Rules of a group, or a route to what is there or was."""
        groups = list(shelf.all(SecurityGroupView))
        if self._rng.random() < 0.6:
            port = str(self._rng.choice((80, 443, 8080)))
            rule = {
                "GroupId": self._rng.choice(groups).name,
                "IpPermissions.1.IpProtocol": "tcp",
                "IpPermissions.1.FromPort": port,
                "IpPermissions.1.ToPort": port,
                "IpPermissions.1.IpRanges.1.CidrIp": self._rng.choice(("10.0.0.0/8", _EVERYWHERE)),
            }
            kind = self._rng.choice(("Authorize", "Authorize", "Revoke"))
            await self._ec2(f"{kind}SecurityGroupIngress", rule)
            return
        table = self._rng.choice(list(shelf.all(RouteTable)))
        gateways = [one.name for one in shelf.all(NatGateway) if one.vpc_id == table.vpc_id]
        if gateways:
            await self._route(table, {"NatGatewayId": self._rng.choice(gateways)})
        elif any(route.destination == _EVERYWHERE for route in table.routes):
            await self._ec2("DeleteRoute", {"RouteTableId": table.name, "DestinationCidrBlock": _EVERYWHERE})

    # -- VPCs

    async def _make_vpc(self, marker: str, shelf: Shelf) -> None:
        """As the usual module does; a small subnet in each of two zones."""
        if shelf.count(Vpc) >= _VPCS_MAX:
            return
        number = self._rng.randrange(1, 250)
        vpc_id = _first(await self._ec2("CreateVpc", {"CidrBlock": f"10.{number}.0.0/16"}), "vpcId")
        if vpc_id is None:
            return
        subnets = []
        for index, (zone, _) in enumerate(self._rng.sample(ZONES, 2)):
            cidr = f"10.{number}.{index}.0/28"
            asked = {"VpcId": vpc_id, "CidrBlock": cidr, "AvailabilityZone": zone}
            subnets.append(_first(await self._ec2("CreateSubnet", asked), "subnetId"))
        igw = _first(await self._ec2("CreateInternetGateway", {}), "internetGatewayId")
        table = _first(await self._ec2("CreateRouteTable", {"VpcId": vpc_id}), "routeTableId")
        group = {"GroupName": marker, "GroupDescription": "of clients", "VpcId": vpc_id}
        await self._ec2("CreateSecurityGroup", group)
        if igw is not None and await self._attach(igw, vpc_id) and table is not None:
            route = {"RouteTableId": table, "DestinationCidrBlock": _EVERYWHERE, "GatewayId": igw}
            await self._ec2("CreateRoute", route)
        if table is not None and subnets[0] is not None:
            await self._ec2("AssociateRouteTable", {"RouteTableId": table, "SubnetId": subnets[0]})

    async def _attach(self, igw: str, vpc_id: str) -> bool:
        return await self._ec2("AttachInternetGateway", {"VpcId": vpc_id, "InternetGatewayId": igw}) is not None

    async def _take_vpc_away(self, shelf: Shelf) -> None:
        """As `terraform destroy` does, but without waiting: what is in use stays."""
        others = [vpc for vpc in shelf.all(Vpc) if not vpc.is_default]
        if not others:
            return
        vpc_id = self._rng.choice(others).name
        for subnet in [one for one in shelf.all(Subnet) if one.vpc_id == vpc_id]:
            if await self._ec2("DeleteSubnet", {"SubnetId": subnet.name}) is not None:
                self._sim.count("subnets-deleted")
        for igw in [one for one in shelf.all(InternetGateway) if one.vpc_id == vpc_id]:
            if self._rng.random() < 0.7:
                named = {"InternetGatewayId": igw.name}
                if await self._ec2("DetachInternetGateway", {"VpcId": vpc_id, **named}) is not None:
                    await self._ec2("DeleteInternetGateway", named)
        for table in [one for one in shelf.all(RouteTable) if one.vpc_id == vpc_id and not one.is_main]:
            await self._ec2("DeleteRouteTable", {"RouteTableId": table.name})
        for group in [one for one in shelf.all(SecurityGroupView) if one.vpc_id == vpc_id]:
            if group.group_name != "default":
                await self._ec2("DeleteSecurityGroup", {"GroupId": group.name})
        if await self._ec2("DeleteVpc", {"VpcId": vpc_id}) is not None:
            self._sim.count("vpcs-deleted")

    async def available_addresses(self) -> dict[str, tuple[str, int]] | None:
        """Subnet -> network, AvailableIpAddressCount, as DescribeSubnets says. None when there was no answer."""
        body = await self._ec2("DescribeSubnets", {})
        if body is None:
            return None
        shown = {}
        for item in ElementTree.fromstring(body).iter():  # noqa: S314  the region's own answer
            members = {child.tag.rpartition("}")[2]: child.text or "" for child in item}
            if "availableIpAddressCount" in members:
                shown[members["subnetId"]] = members["cidrBlock"], int(members["availableIpAddressCount"])
        return shown

    async def _ec2(self, operation: str, params: Mapping[str, str]) -> bytes | None:
        """The body of an answer that is no refusal."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await self.world.sleep(_RETRY_S * 2**attempt)
            try:
                status, body = await self._caller.query(operation, params)
            except Unanswered:
                self._sim.count("unanswered")
                continue
            if status == 200:
                return body
            if status == 503:
                self._sim.count("throttled")
                continue
            found = _CODE.search(body)
            code = found[1].decode() if found is not None else ""
            self._sim.count(f"refused {code}")
            if code not in _ANSWERS and _DETACHED not in body:
                self._sim.fail("refused", f"{operation} {dict(params)}: {body!r}")
            return None
        return None


def _first(body: bytes | None, name: str) -> str | None:
    found = re.search(rf"<{name}>([^<]+)</{name}>".encode(), body or b"")
    return None if found is None else found[1].decode()
