"""GetRandomPassword: letters of the kinds that the caller did not exclude, one of each kind where that is required."""

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...secrets.errors import SecretInvalid
from ...services import Services

LENGTH_DEFAULT = 32
_KINDS = (
    ("ExcludeLowercase", "abcdefghijklmnopqrstuvwxyz"),
    ("ExcludeUppercase", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ("ExcludeNumbers", "0123456789"),
    ("ExcludePunctuation", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
)


async def get_random_password(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "secretsmanager:GetRandomPassword", ["*"])
    excluded = set(params.get("ExcludeCharacters") or "")
    kinds = [letters for member, letters in _KINDS if not params.get(member)]
    if params.get("IncludeSpace"):
        kinds.append(" ")
    kinds = [left for left in ("".join(one for one in letters if one not in excluded) for letters in kinds) if left]
    length = params.get("PasswordLength") or LENGTH_DEFAULT
    if not kinds:
        raise SecretInvalid("The password character set is empty: everything is excluded.")
    required = kinds if params.get("RequireEachIncludedType", True) else []
    if length < len(required):
        raise SecretInvalid("The password length is too short based on the required types.")
    choice = services.world.random.choice
    drawn = [choice(letters) for letters in required]
    every = "".join(kinds)
    drawn += [choice(every) for _ in range(length - len(drawn))]
    services.world.random.shuffle(drawn)
    return {"RandomPassword": "".join(drawn)}
