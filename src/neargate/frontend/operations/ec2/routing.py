"""What operations of routes, gateways, peerings and endpoints share: required parameters, the ARNs they ask leave for.

Reads only. Invariant: leave is asked for the object that a request names, also through an association of it, by the
object's own ARN with its tags and its VPC.
"""

from msgspec.structs import replace

from ....model.errors import AwsError
from ...authorize import Resource, Values
from ...call import Call, Params
from ...network.errors.common import MissingParameter
from ...network.records.objects import (
    CustomerGateway,
    EgressOnlyGateway,
    InternetGateway,
    Owned,
    Peering,
    RouteTable,
    Subnet,
    VpcEndpoint,
    VpnGateway,
)
from ...services import Services
from .asking import vpc_resource
from .request import check_id, resource_arn

Malformed = type[AwsError]


def required(params: Params, name: str) -> str:
    """Raises MissingParameter, which calls it as EC2's query members begin: in lower case."""
    given = params.get(name)
    if not given:
        raise MissingParameter(name[0].lower() + name[1:])
    return str(given)


def required_id(params: Params, name: str, prefix: str, malformed: Malformed) -> str:
    """Raises MissingParameter and `malformed`."""
    given = required(params, name)
    check_id(given, prefix, malformed)
    return given


def vpc_arn(call: Call, vpc_id: str) -> str:
    return resource_arn(call, "vpc", vpc_id)


def new(call: Call, kind: str, keys: dict[str, Values]) -> Resource:
    """What is yet to be made, with the tags it is to have."""
    return Resource(arn=resource_arn(call, kind, "*"), keys=keys)


def named_vpc(call: Call, services: Services, vpc_id: object) -> Resource:
    """Of a required VpcId; nothing named asks for any VPC, never for the default one."""
    return vpc_resource(call, services, str(vpc_id) if vpc_id else "*")


def unnamed(call: Call, resource: Resource) -> Resource:
    """Of what the request names only through another object: who is refused does not learn its id."""
    kind = resource.arn.rpartition(":")[2].partition("/")[0]
    return replace(resource, shown=resource_arn(call, kind, "*"))


def _named(call: Call, kind: str, given: object, found: Owned | None, keys: dict[str, Values]) -> Resource:
    arn = resource_arn(call, kind, str(given) if given else "*")
    return Resource(arn=arn, tags=dict(found.tags) if found is not None else {}, keys=keys if found is not None else {})


def table_resource(call: Call, services: Services, table_id: object) -> Resource:
    found = services.network.shelf(call.account).find(RouteTable, str(table_id or ""))
    keys = {} if found is None else {"ec2:RouteTableID": found.name, "ec2:Vpc": vpc_arn(call, found.vpc_id)}
    return _named(call, "route-table", table_id, found, dict(keys))


def subnet_resource(call: Call, services: Services, subnet_id: object) -> Resource:
    found = services.network.shelf(call.account).find(Subnet, str(subnet_id or ""))
    keys = (
        {}
        if found is None
        else {
            "ec2:SubnetID": found.name,
            "ec2:Vpc": vpc_arn(call, found.vpc_id),
            "ec2:AvailabilityZone": found.zone,
        }
    )
    return _named(call, "subnet", subnet_id, found, dict(keys))


def gateway_resource(call: Call, services: Services, gateway_id: object) -> Resource:
    found = services.network.shelf(call.account).find(InternetGateway, str(gateway_id or ""))
    keys = {} if found is None else {"ec2:InternetGatewayID": found.name}
    return _named(call, "internet-gateway", gateway_id, found, dict(keys))


def egress_only_resource(call: Call, services: Services, gateway_id: object) -> Resource:
    found = services.network.shelf(call.account).find(EgressOnlyGateway, str(gateway_id or ""))
    return _named(call, "egress-only-internet-gateway", gateway_id, found, {})


def vpn_gateway_resource(call: Call, services: Services, gateway_id: object) -> Resource:
    found = services.network.shelf(call.account).find(VpnGateway, str(gateway_id or ""))
    return _named(call, "vpn-gateway", gateway_id, found, {})


def customer_gateway_resource(call: Call, services: Services, gateway_id: object) -> Resource:
    found = services.network.shelf(call.account).find(CustomerGateway, str(gateway_id or ""))
    return _named(call, "customer-gateway", gateway_id, found, {})


def peering_resource(call: Call, services: Services, peering_id: object) -> Resource:
    found = services.network.shelf(call.account).find(Peering, str(peering_id or ""))
    keys = {} if found is None else peering_keys(call, found)
    return _named(call, "vpc-peering-connection", peering_id, found, keys)


def peering_keys(call: Call, peering: Peering) -> dict[str, Values]:
    return {
        "ec2:VpcPeeringConnectionID": peering.name,
        "ec2:RequesterVpc": vpc_arn(call, peering.requester_vpc),
        "ec2:AccepterVpc": vpc_arn(call, peering.accepter_vpc),
    }


def endpoint_resource(call: Call, services: Services, endpoint_id: object) -> Resource:
    found = services.network.shelf(call.account).find(VpcEndpoint, str(endpoint_id or ""))
    keys = {} if found is None else {"ec2:VpceServiceName": found.service_name, "ec2:VpceServiceOwner": "amazon"}
    return _named(call, "vpc-endpoint", endpoint_id, found, dict(keys))
