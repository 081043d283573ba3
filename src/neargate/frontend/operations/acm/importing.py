"""ImportCertificate: another's certificate with its key."""

from functools import partial

from ...authorize import authorize, request_tags
from ...call import Answer, Call, Params
from ...certificates import changes
from ...certificates.errors import Invalid
from ...certificates.reading import read_material
from ...certificates.records import IMPORTED, Certificate, certificate_arn
from ...services import Services
from .asking import ask_for_tags, certificate_meant, given_tags, users_of


async def import_certificate(call: Call, services: Services, params: Params) -> Answer:
    """A new one, or another in the place of one that was imported before."""
    arn: str | None = params.get("CertificateArn")
    tags = given_tags(params.get("Tags"))
    if arn is None:
        asked = call.arn("acm", "certificate/*")
        authorize(call, "acm:ImportCertificate", [asked], request_tags(dict(tags)) if tags else {})
        ask_for_tags(call, tags)
    else:
        certificate_meant(call, services, arn)
        if tags:
            raise Invalid("Tagging is not permitted on re-import.")
    registry = services.certificates
    material, facts = read_material(
        params["Certificate"], params.get("CertificateChain"), params["PrivateKey"], call.now
    )
    now = round(call.now, 3)
    if arn is not None:
        made = changes.Renewal(
            facts=facts, pem=material.pem, chain=material.chain, sealed_key=registry.sealed_key(arn, material.key)
        )
        again = partial(changes.imported_again, arn=arn, made=made, users=partial(users_of, call, services), now=now)
        async with registry.in_use:
            await registry.change(call.account, again)
        return {"CertificateArn": arn}
    arn = certificate_arn(services.region, call.account, services.world.random.getrandbits)
    new = Certificate(
        account=call.account,
        name=arn,
        origin=IMPORTED,
        facts=facts,
        pem=material.pem,
        chain=material.chain,
        sealed_key=registry.sealed_key(arn, material.key),
        created_at=now,
        imported_at=now,
        tags=tags,
    )
    await registry.change(call.account, partial(changes.added, new=new))
    return {"CertificateArn": arn}
