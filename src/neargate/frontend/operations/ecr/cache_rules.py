"""Pull-through cache rules: which names of an account's registry are another registry's, and with whose credentials."""

from typing import Any

from msgspec.structs import replace

from ....interfaces.upstream import Login, UpstreamFailed
from ....model.errors import AwsError, InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...images.errors import (
    LimitExceeded,
    PullThroughCacheRuleAlreadyExists,
    PullThroughCacheRuleNotFound,
    UnsupportedUpstreamRegistry,
    Validation,
)
from ...images.logins import login_of
from ...images.records import CacheRule, RegistrySettings
from ...images.service import Images
from ...images.upstreams import Known, known
from ...services import Services
from .asking import images_of
from .paging import page


async def create_pull_through_cache_rule(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ecr:CreatePullThroughCacheRule", ["*"])
    images, now = images_of(services), round(call.now, 3)
    _own(call, params)
    found = _upstream(images, params)
    credential = _credential(call, images, params, found)
    rule = CacheRule(
        prefix=_prefix(params),
        host=params["upstreamRegistryUrl"],
        kind=found.kind,
        created=now,
        updated=now,
        credential=credential,
    )

    def decide(settings: RegistrySettings) -> RegistrySettings:
        if any(one.prefix == rule.prefix for one in settings.cache_rules):
            raise PullThroughCacheRuleAlreadyExists(
                f"A pull through cache rule with ecrRepositoryPrefix '{rule.prefix}' already exists for the registry "
                f"with id '{call.account}'"
            )
        if len(settings.cache_rules) >= images.knobs.image_cache_rules_max:
            raise LimitExceeded(
                f"The maximum number of pull through cache rules ({images.knobs.image_cache_rules_max}) of the "
                f"registry with id '{call.account}' was reached."
            )
        rules = sorted((*settings.cache_rules, rule), key=lambda one: one.prefix)
        return replace(settings, cache_rules=tuple(rules))

    await images.registry.change_settings(call.account, decide)
    shown = _shown(call, rule)
    del shown["updatedAt"]
    return shown


async def describe_pull_through_cache_rules(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ecr:DescribePullThroughCacheRules", ["*"])
    images = images_of(services)
    _own(call, params)
    prefixes = params.get("ecrRepositoryPrefixes")
    if prefixes:
        if params.get("nextToken") or params.get("maxResults"):
            raise InvalidParameter("'ecrRepositoryPrefixes' cannot be combined with 'nextToken' and 'maxResults'.")
        found = [_rule(call, images, prefix.rstrip("/")) for prefix in dict.fromkeys(prefixes)]
        return {"pullThroughCacheRules": [_shown(call, rule) for rule in found]}
    rules = images.registry.settings(call.account).cache_rules
    chosen, more = page(call, params, rules, lambda rule: rule.prefix)
    return {"pullThroughCacheRules": [_shown(call, rule) for rule in chosen]} | more


async def delete_pull_through_cache_rule(call: Call, services: Services, params: Params) -> Answer:
    """What was cached stays, as repositories like all others."""
    authorize(call, "ecr:DeletePullThroughCacheRule", ["*"])
    images = images_of(services)
    _own(call, params)
    gone: list[CacheRule] = []

    def decide(settings: RegistrySettings) -> RegistrySettings:
        gone[:] = [_named(call, settings, _prefix(params))]
        return replace(settings, cache_rules=tuple(one for one in settings.cache_rules if one != gone[0]))

    await images.registry.change_settings(call.account, decide)
    shown = _shown(call, gone[0])
    return {name: value for name, value in shown.items() if name not in ("updatedAt", "upstreamRegistry")}


async def update_pull_through_cache_rule(call: Call, services: Services, params: Params) -> Answer:
    """Other credentials."""
    authorize(call, "ecr:UpdatePullThroughCacheRule", ["*"])
    images = images_of(services)
    _own(call, params)
    before = _rule(call, images, _prefix(params))
    credential = _credential(call, images, params, known(before.host) or Known(kind=""))
    changed: list[CacheRule] = []

    def decide(settings: RegistrySettings) -> RegistrySettings:
        now = _named(call, settings, before.prefix)
        changed[:] = [replace(now, credential=credential, updated=round(call.now, 3))]
        return replace(settings, cache_rules=tuple(changed[0] if one is now else one for one in settings.cache_rules))

    await images.registry.change_settings(call.account, decide)
    shown = _shown(call, changed[0])
    wanted = ("ecrRepositoryPrefix", "registryId", "updatedAt", "credentialArn")
    return {name: value for name, value in shown.items() if name in wanted}


async def validate_pull_through_cache_rule(call: Call, services: Services, params: Params) -> Answer:
    """Whether the other registry answers now, and takes the credentials."""
    authorize(call, "ecr:ValidatePullThroughCacheRule", ["*"])
    images = images_of(services)
    _own(call, params)
    rule = _rule(call, images, _prefix(params))
    shown = _shown(call, rule)
    kept = ("ecrRepositoryPrefix", "registryId", "upstreamRegistryUrl", "credentialArn", "upstreamRepositoryPrefix")
    answer = {name: value for name, value in shown.items() if name in kept}
    failure = await _failure(call, images, rule)
    return answer | ({"isValid": True} if failure is None else {"isValid": False, "failure": failure})


async def _failure(call: Call, images: Images, rule: CacheRule) -> str | None:
    if images.upstream is None:
        return "This server reaches no other registries."
    try:
        login: Login | None = None
        if rule.credential is not None:
            login = login_of(images.secrets, call.account, rule.credential)
        session = await images.upstream.open(rule.host, "validation", login)
    except AwsError as error:
        return error.message
    try:
        await session.check()
    except UpstreamFailed as failed:
        return failed.reason
    finally:
        session.close()
    return None


def _own(call: Call, params: Params) -> None:
    if params.get("registryId") not in (None, call.account):
        raise InvalidParameter("Pull through cache rules belong to the caller's own registry.")


def _prefix(params: Params) -> str:
    """A slash at the end is there in any case."""
    given: str = params["ecrRepositoryPrefix"]
    return given.rstrip("/")


def _upstream(images: Images, params: Params) -> Known:
    """The registry that a rule is for. Raises UnsupportedUpstreamRegistry, Validation."""
    host: str = params["upstreamRegistryUrl"]
    found = known(host)
    if found is None and images.upstream is not None and images.upstream.is_named(host):
        found = Known(kind="")  # the operator's own: more than AWS has
    if found is None or params.get("upstreamRegistry") not in (None, found.kind):
        raise UnsupportedUpstreamRegistry(
            f"The upstream registry URL {host[:200]} is invalid. Specify a valid upstream registry URL and try again"
        )
    return found


def _credential(call: Call, images: Images, params: Params, found: Known) -> str | None:
    """Raises Validation and what the secret's reading raises."""
    for name in ("customRoleArn", "upstreamRepositoryPrefix"):
        if params.get(name) not in (None, "ROOT"):
            raise Validation(f"'{name}' is for rules whose upstream registry is another Amazon ECR private registry.")
    given: str | None = params.get("credentialArn")
    if given is None:
        if found.needs_login:
            raise Validation(f"The upstream registry {found.kind} requires authentication: specify 'credentialArn'.")
        return None
    login_of(images.secrets, call.account, given)
    return given


def _rule(call: Call, images: Images, prefix: str) -> CacheRule:
    return _named(call, images.registry.settings(call.account), prefix)


def _named(call: Call, settings: RegistrySettings, prefix: str) -> CacheRule:
    """Raises PullThroughCacheRuleNotFound."""
    for rule in settings.cache_rules:
        if rule.prefix == prefix:
            return rule
    raise PullThroughCacheRuleNotFound(
        f"The pull through cache rule with ecrRepositoryPrefix '{prefix}' does not exist in the registry with id "
        f"'{call.account}'"
    )


def _shown(call: Call, rule: CacheRule) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ecrRepositoryPrefix": rule.prefix,
        "upstreamRegistryUrl": rule.host,
        "createdAt": rule.created,
        "updatedAt": rule.updated,
        "registryId": call.account,
        "upstreamRepositoryPrefix": "ROOT",
    }
    if rule.kind:
        found["upstreamRegistry"] = rule.kind
    if rule.credential is not None:
        found["credentialArn"] = rule.credential
    return found
