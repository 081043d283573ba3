"""TagSpecifications of a create request, checked as EC2 checks them. Pure."""

from collections.abc import Mapping
from typing import Any

from ...network.errors.common import InvalidParameterValue
from ...network.errors.routing import InvalidParameter
from ...network.records.objects import Tags
from ...network.tagging import TAGS_MAX, TagLimitExceeded, check_tag


def tags_from(params: Mapping[str, Any], resource_type: str) -> Tags:
    """The tags for the one type this request makes. Raises what EC2 says of wrong ones."""
    tags: dict[str, str] = {}
    for specification in params.get("TagSpecifications") or ():
        given = specification.get("ResourceType")
        if not given:
            raise InvalidParameter("Tag specification resource type must have a value")
        if given != resource_type:
            raise InvalidParameter(f"'{given}' is not a valid taggable resource type for this operation.")
        if not specification.get("Tags"):
            raise InvalidParameter("Tag specification must have at least one tag")
        for tag in specification.get("Tags") or ():
            key, value = tag.get("Key") or "", tag.get("Value") or ""
            check_tag(key, value)
            if key.lower().startswith("aws:"):
                raise InvalidParameterValue("Tag keys starting with 'aws:' are reserved for internal use")
            if key in tags:
                raise InvalidParameterValue(f"Duplicate tag key '{key}' specified.")
            tags[key] = value
    if len(tags) > TAGS_MAX:
        raise TagLimitExceeded(f"More than {TAGS_MAX} tags specified")
    return tuple(tags.items())
