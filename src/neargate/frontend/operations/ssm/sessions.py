"""ResumeSession: what a client of ECS's sessions asks when it has lost its connection.

Owns the one answer: a session is over when its connection is, so there is no token to come back with, which clients
say as that it has timed out, and end. Without this answer they would wait at a dead terminal for ever.
"""

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services


async def resume_session(call: Call, services: Services, params: Params) -> Answer:
    del services
    session_id = params["SessionId"]
    authorize(call, "ssm:ResumeSession", [call.arn("ssm", f"session/{session_id}")])
    return {"SessionId": session_id}
