"""Who am I: needs no permission on AWS, so it asks for none beyond having signed."""

from ...call import Answer, Call, Params
from ...services import Services


async def get_caller_identity(call: Call, services: Services, params: Params) -> Answer:
    del services, params
    # AWS answers this even under an explicit deny. Recording the action tells the front end that this is meant.
    call.authorised_actions.append("sts:GetCallerIdentity")
    principal = call.principal
    return {"UserId": principal.user_id, "Account": principal.account, "Arn": principal.arn}
