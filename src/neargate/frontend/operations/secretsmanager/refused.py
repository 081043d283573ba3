"""Rotation and replication: asked for like the others, and refused with a sentence that says what there is not."""

from ...call import Answer, Call, Params
from ...secrets.errors import InvalidRequest
from ...services import Services
from .asking import secret_meant

NO_REPLICAS = "Neargate does not replicate secrets: regions know nothing of each other."
NO_ROTATION = (
    "Neargate does not rotate secrets: it has no Lambda functions that could. Give the secret a new value with "
    "PutSecretValue."
)


async def refuse_rotation(call: Call, services: Services, params: Params) -> Answer:
    secret_meant(call, services, params["SecretId"])
    raise InvalidRequest(NO_ROTATION)


async def refuse_replication(call: Call, services: Services, params: Params) -> Answer:
    secret_meant(call, services, params["SecretId"])
    raise InvalidRequest(NO_REPLICAS)
