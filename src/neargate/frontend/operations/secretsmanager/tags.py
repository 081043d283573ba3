"""TagResource and UntagResource."""

from msgspec.structs import replace

from ...call import Answer, Call, Params
from ...secrets.errors import SecretInvalid
from ...secrets.records import Secret
from ...services import Services
from .asking import secret_meant
from .shapes import TAGS_MAX, given_tags, tag_keys


async def tag_resource(call: Call, services: Services, params: Params) -> Answer:
    tags = given_tags(params)
    secret = secret_meant(call, services, params["SecretId"], tag_keys(tags))

    def tagged(secret: Secret) -> Secret:
        merged = {**dict(secret.tags), **dict(tags)}
        if len(merged) > TAGS_MAX:
            raise SecretInvalid(f"A secret has at most {TAGS_MAX} tags.")
        return replace(secret, tags=tuple(merged.items()))

    await services.secrets.change_secret(secret, tagged)
    return {}


async def untag_resource(call: Call, services: Services, params: Params) -> Answer:
    gone: list[str] = params["TagKeys"]
    secret = secret_meant(call, services, params["SecretId"], {"aws:TagKeys": gone})

    def untagged(secret: Secret) -> Secret:
        return replace(secret, tags=tuple(tag for tag in secret.tags if tag[0] not in gone))

    await services.secrets.change_secret(secret, untagged)
    return {}
