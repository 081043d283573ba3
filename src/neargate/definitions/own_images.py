"""Images of the region's own registry, by their names: `ACCOUNT.dkr.ecr.REGION.localhost[:PORT]/REPOSITORY`. Pure.

Owns that form and AWS's. Must not know who may pull them. Invariant: a name says where an image is and nothing about
who asks for it.
"""

import re

_ECR_IMAGE = re.compile(
    r"\A[0-9]{12}\.dkr\.ecr\.([a-z0-9-]{1,32})\.(?:amazonaws\.com(?:\.cn)?|(localhost)(?::[0-9]{1,5})?)/"
)


def is_ecr_image(image: str) -> bool:
    """Ours or AWS's: either needs the execution role."""
    return _ECR_IMAGE.match(image) is not None


def is_own_image(image: str, region: str) -> bool:
    """Whether this region's registry has it, if anybody does."""
    found = _ECR_IMAGE.match(image)
    return found is not None and found[1] == region and found[2] is not None
