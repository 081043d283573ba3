"""What each CloudTrail operation asks leave for. Source: Service Authorization Reference, "AWS CloudTrail"."""

from .rules import Actions, Level, rule

_TRAIL = "trail/{trail}"

ACTIONS: Actions = {
    "DescribeTrails": (rule("cloudtrail:DescribeTrails", Level.READ, "*"),),
    "GetEventSelectors": (rule("cloudtrail:GetEventSelectors", Level.READ, _TRAIL),),
    "GetTrail": (rule("cloudtrail:GetTrail", Level.READ, _TRAIL),),
    "GetTrailStatus": (rule("cloudtrail:GetTrailStatus", Level.READ, _TRAIL),),
    "ListTrails": (rule("cloudtrail:ListTrails", Level.LIST, "*"),),
    "LookupEvents": (rule("cloudtrail:LookupEvents", Level.READ, "*"),),
}
