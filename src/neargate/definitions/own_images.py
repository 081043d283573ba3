"""Images of the region's own registry, by their names: `ACCOUNT.dkr.ecr.REGION.DOMAIN[:PORT]/REPOSITORY`. Pure.

`localhost` is always such a domain; the operator may have named another. Owns that form and AWS's. Must not know who
may pull them. Invariant: a name says where an image is and nothing about who asks for it.
"""

import re

_ECR_IMAGE = re.compile(r"\A[0-9]{12}\.dkr\.ecr\.([a-z0-9-]{1,32})\.([a-z0-9.-]{1,200})(:[0-9]{1,5})?/")


def is_ecr_image(image: str) -> bool:
    """Ours, AWS's or another region's, all named so: each needs the execution role."""
    return _ECR_IMAGE.match(image) is not None


def is_own_image(image: str, region: str, domain: str = "") -> bool:
    """Whether this region's registry has it, if anybody does. `domain`: the operator's, with its port if it has one."""
    found = _ECR_IMAGE.match(image)
    if found is None or found[1] != region:
        return False
    return found[2] == "localhost" or f"{found[2]}{found[3] or ''}" == domain
