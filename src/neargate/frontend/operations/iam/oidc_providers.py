"""OpenID Connect providers. What they sign is verified where sessions are made."""

from ...call import Answer, Call, Params
from ...identity import providers as decisions
from ...identity.book import AccountBook
from ...identity.records import OidcProvider
from ...services import Services
from .asking import ask, ask_creating, ask_for_account, book_of
from .shapes import tags_shown

_ARN = "OpenIDConnectProviderArn"


def ask_for_provider(call: Call, book: AccountBook, arn: str) -> None:
    found = decisions.find_provider(book, arn)
    is_provider = arn.startswith("arn:aws:iam::") and ":oidc-provider/" in arn
    ask(
        call,
        arn if is_provider else decisions.provider_arn(call.account, arn),
        tags=() if found is None else found.tags,
    )


async def create_open_id_connect_provider(call: Call, services: Services, params: Params) -> Answer:
    url = params["Url"]
    arn = decisions.provider_arn(call.account, url.partition("://")[2] or url)
    ask_creating(call, arn, params, "TagOpenIDConnectProvider")
    provider = await services.identity.change(
        call.account,
        lambda book: decisions.create_provider(
            book,
            url,
            client_ids=params.get("ClientIDList") or (),
            thumbprints=params.get("ThumbprintList") or (),
            tags=params.get("Tags"),
            now=int(call.now),
        ),
    )
    return {_ARN: provider.arn, "Tags": tags_shown(provider.tags)}


async def get_open_id_connect_provider(call: Call, services: Services, params: Params) -> Answer:
    book, arn = book_of(call, services), params[_ARN]
    ask_for_provider(call, book, arn)
    provider = decisions.required_provider(book, arn)
    return {
        "Url": provider.name,
        "ClientIDList": list(provider.client_ids),
        "ThumbprintList": list(provider.thumbprints),
        "CreateDate": provider.created,
        "Tags": tags_shown(provider.tags),
    }


async def list_open_id_connect_providers(call: Call, services: Services, params: Params) -> Answer:
    del params
    ask_for_account(call)
    providers = book_of(call, services).all(OidcProvider)
    return {"OpenIDConnectProviderList": [{"Arn": provider.arn} for provider in providers]}


async def delete_open_id_connect_provider(call: Call, services: Services, params: Params) -> Answer:
    arn = params[_ARN]
    ask_for_provider(call, book_of(call, services), arn)
    await services.identity.change(call.account, lambda book: decisions.delete_provider(book, arn))
    return {}


async def update_open_id_connect_provider_thumbprint(call: Call, services: Services, params: Params) -> Answer:
    arn = params[_ARN]
    ask_for_provider(call, book_of(call, services), arn)
    await services.identity.change(
        call.account, lambda book: decisions.set_thumbprints(book, arn, params["ThumbprintList"])
    )
    return {}


async def add_client_id_to_open_id_connect_provider(call: Call, services: Services, params: Params) -> Answer:
    arn = params[_ARN]
    ask_for_provider(call, book_of(call, services), arn)
    await services.identity.change(call.account, lambda book: decisions.add_client(book, arn, params["ClientID"]))
    return {}


async def remove_client_id_from_open_id_connect_provider(call: Call, services: Services, params: Params) -> Answer:
    arn = params[_ARN]
    ask_for_provider(call, book_of(call, services), arn)
    await services.identity.change(call.account, lambda book: decisions.remove_client(book, arn, params["ClientID"]))
    return {}
