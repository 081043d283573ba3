"""What each CloudTrail operation asks leave for. Source: Service Authorization Reference, "AWS CloudTrail"."""

from .rules import Actions, Level, rule

ACTIONS: Actions = {
    "LookupEvents": (rule("cloudtrail:LookupEvents", Level.READ, "*"),),
}
