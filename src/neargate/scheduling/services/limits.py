"""How many tasks a deployment has to keep healthy, and how many there may be at most: AWS's rounding.

Owns the two limits of a rolling update. Invariant: `floor` <= desired count <= `ceiling`, whatever the percentages, so
that a service without a deployment under way can always have its desired count.
"""

from .state import Service


def floor(service: Service) -> int:
    """Healthy RUNNING tasks below which the scheduler stops none: rounded up."""
    return min(service.desired_count, -(-service.desired_count * service.minimum_healthy_percent // 100))


def before_retiring(service: Service) -> int:
    """Healthy tasks below which none stops for the sake of what is below it: others start first. Where none may, one
    at a time goes, as far as the floor lets it: what is lost when there is no room for another is one task."""
    if ceiling(service) > service.desired_count:
        return service.desired_count
    return max(floor(service), service.desired_count - 1)


def ceiling(service: Service) -> int:
    """Tasks that run or are on their way, above which the scheduler starts none: rounded down."""
    return max(service.desired_count, service.desired_count * service.maximum_percent // 100)
