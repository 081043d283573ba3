"""How rows of EC2's tables are written: what is common to its lists, its changes and what has tags when it is made.

Source: Service Authorization Reference, "Amazon EC2".
"""

from .rules import REQUEST_TAGS, Level, Rule, rule

REGION = ("ec2:Region",)
RESOURCE_TAGS = ("aws:ResourceTag/", "ec2:ResourceTag/")
COMMON = (*REGION, *RESOURCE_TAGS)
SUBNET_KEYS = ("ec2:SubnetID", "ec2:AvailabilityZone", "ec2:Vpc")


def describe(name: str) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.LIST, "*", keys=REGION),)


def write(name: str, *forms: str, keys: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.WRITE, *forms, keys=(*COMMON, *keys)),)


def create(name: str, form: str, *others: str, keys: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """`form`: of what is made, which the request may give tags."""
    return (*write(name, form, *others, keys=(*REQUEST_TAGS, *keys)), tagging(form))


def tagging(form: str) -> Rule:
    keys = (*REGION, *REQUEST_TAGS, "ec2:CreateAction")
    return rule("ec2:CreateTags", Level.TAGGING, form, keys=keys, when="the request has tags")
