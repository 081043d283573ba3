"""GetAuthorizationToken: what `docker login` needs."""

import base64

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...images.tokens import USER_NAME
from ...services import Services
from .asking import images_of


async def get_authorization_token(call: Call, services: Services, params: Params) -> Answer:
    """One token opens every registry of the region to whom its policies let in, as on AWS."""
    authorize(call, "ecr:GetAuthorizationToken", ["*"])
    images = images_of(services)
    password, expires = images.tokens.password(call.principal)
    token = base64.b64encode(f"{USER_NAME}:{password}".encode()).decode()
    return {
        "authorizationData": [
            {
                "authorizationToken": token,
                "expiresAt": expires,
                "proxyEndpoint": images.url_of(account, secure=call.secure),
            }
            for account in params.get("registryIds") or [call.account]
        ]
    }
