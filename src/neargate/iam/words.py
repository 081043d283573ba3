"""The sentence in which AWS refuses. What EC2 puts before it is of its protocol, not of this.

Says which kind of policy refused, never its content. Source: "Troubleshoot access denied error messages", and for what
STS leaves out of them the messages that people got from it.
"""

from .request import Decision, Layer

# With an explicit deny in ...; all others take "a".
_DENIED_IN = {Layer.IDENTITY: "an identity-based policy", Layer.TRUST: "the role trust policy"}
# Where nothing allows these, STS does not say which policy should have: the caller's or the role's.
_UNEXPLAINED = frozenset({"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"})


def denial(caller_arn: str, action: str, resource: str | None, decision: Decision) -> str:
    """`resource`: an ARN, `*`, or None for services that name none. Trust policies' refusals name none either."""
    if decision.allowed:
        raise AssertionError("an allowed request has no denial")
    kind = decision.layer.value
    where = "" if resource is None or decision.layer is Layer.TRUST else f" on resource: {resource}"
    if resource == "*" and action.startswith("sts:"):
        where = ""
    if not decision.explicit and action in _UNEXPLAINED:
        return f"User: {caller_arn} is not authorized to perform: {action} on resource: {resource}"
    if decision.explicit:
        why = f"with an explicit deny in {_DENIED_IN.get(decision.layer, f'a {kind}')}"
    else:
        why = f"because no {kind} allows the {action} action"
    return f"User: {caller_arn} is not authorized to perform: {action}{where} {why}"
