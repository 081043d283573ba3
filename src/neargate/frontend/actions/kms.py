"""What each KMS operation asks leave for. Source: Service Authorization Reference, "AWS Key Management Service".

`using_key` is for the services that seal for their callers: they ask for KMS's actions in their callers' name.
"""

from .rules import Actions, Level, Rule, rule

_KEY = "key/{key}"
_OF_KEY = ("aws:ResourceTag/", "kms:CallerAccount", "kms:ViaService")
_CONTEXT = ("kms:EncryptionContext:", "kms:EncryptionContextKeys")


def using_key(action: str, when: str = "") -> Rule:
    """A cryptographic action of KMS, as a row of another service's operation."""
    return rule(action, Level.WRITE, _KEY, keys=(*_OF_KEY, *_CONTEXT), when=when)


ACTIONS: Actions = {}
