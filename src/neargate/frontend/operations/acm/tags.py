"""Tags of certificates."""

from functools import partial

from ...authorize import request_tags
from ...call import Answer, Call, Params
from ...certificates import changes
from ...services import Services
from .asking import certificate_meant, given_tags, named_tags


async def add_tags_to_certificate(call: Call, services: Services, params: Params) -> Answer:
    given = given_tags(params["Tags"])
    found = certificate_meant(call, services, params["CertificateArn"], request_tags(dict(given)))
    await services.certificates.change(call.account, partial(changes.tagged, arn=found.arn, given=given))
    return {}


async def remove_tags_from_certificate(call: Call, services: Services, params: Params) -> Answer:
    given_tags(params["Tags"])
    gone = [(tag["Key"], tag.get("Value")) for tag in params["Tags"]]
    keys = {"aws:TagKeys": [key for key, _ in gone]}
    found = certificate_meant(call, services, params["CertificateArn"], {**keys})
    await services.certificates.change(call.account, partial(changes.untagged, arn=found.arn, gone=gone))
    return {}


async def list_tags_for_certificate(call: Call, services: Services, params: Params) -> Answer:
    return {"Tags": named_tags(certificate_meant(call, services, params["CertificateArn"]).tags)}
