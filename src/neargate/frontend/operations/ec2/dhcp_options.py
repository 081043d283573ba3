"""AssociateDhcpOptions, CreateDhcpOptions, DeleteDhcpOptions, DescribeDhcpOptions."""

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import MissingParameter
from ...network.errors.vpcs import DhcpOptionsIdMalformed, DhcpOptionsNotFound
from ...network.records.objects import DhcpOptions
from ...network.vpcs import dhcp as dhcp_changes
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import named, page, resource_arn, stop_if_dry_run, with_token
from .tags import tags_from
from .vpc_objects import options_asked, options_id_of, options_shown, vpc_asked, vpc_id_of


async def create_dhcp_options(call: Call, services: Services, params: Params) -> Answer:
    made = resource_arn(call, "dhcp-options", "*")
    authorize(call, "ec2:CreateDhcpOptions", [Resource(arn=made, keys=tag_keys(params))], region_key(call))
    authorize_tagging(call, params, made)
    configurations = tuple(
        (one.get("Key") or "", tuple(one.get("Values") or ())) for one in params.get("DhcpConfigurations") or ()
    )
    if not configurations:
        raise MissingParameter("dhcpConfiguration")
    dhcp_changes.check_configurations(configurations)
    tags = tags_from(params, "dhcp-options")
    stop_if_dry_run(params)
    network = services.network
    options = await network.change(
        call.account, lambda shelf: dhcp_changes.create(shelf, configurations, tags, network.bits)
    )
    return {"DhcpOptions": options_shown(options)}


async def delete_dhcp_options(call: Call, services: Services, params: Params) -> Answer:
    asked = options_asked(call, services, params.get("DhcpOptionsId"))
    authorize(call, "ec2:DeleteDhcpOptions", [asked], region_key(call))
    options_id = options_id_of(params)
    dhcp_changes.required_options(services.network.shelf(call.account), options_id)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: dhcp_changes.delete(shelf, options_id))
    return {}


async def associate_dhcp_options(call: Call, services: Services, params: Params) -> Answer:
    asked = [
        options_asked(call, services, params.get("DhcpOptionsId")),
        vpc_asked(call, services, params.get("VpcId")),
    ]
    authorize(call, "ec2:AssociateDhcpOptions", asked, region_key(call))
    options_id, vpc_id = options_id_of(params), vpc_id_of(params)
    dhcp_changes.associate(services.network.shelf(call.account), options_id, vpc_id)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: dhcp_changes.associate(shelf, options_id, vpc_id))
    return {}


_FIELDS: dict[str, Field[DhcpOptions]] = {
    "dhcp-options-id": lambda options: (options.name,),
    "key": lambda options: (key for key, _ in options.configurations),
    "owner-id": lambda options: (options.account,),
    "value": lambda options: (value for _, values in options.configurations for value in values),
}


async def describe_dhcp_options(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    found = named(
        services.network.shelf(call.account).all(DhcpOptions),
        params.get("DhcpOptionsIds"),
        lambda options: options.name,
        prefix="dopt",
        malformed=DhcpOptionsIdMalformed,
        missing=DhcpOptionsNotFound,
    )
    found = select(found, params.get("Filters"), _FIELDS, lambda options: options.tags)
    found, token = page(found, params, lambda options: options.name, "DhcpOptionsIds")
    return with_token({"DhcpOptions": [options_shown(options) for options in found]}, token)


OPERATIONS: dict[str, Operation] = {
    "AssociateDhcpOptions": associate_dhcp_options,
    "CreateDhcpOptions": create_dhcp_options,
    "DeleteDhcpOptions": delete_dhcp_options,
    "DescribeDhcpOptions": describe_dhcp_options,
}
