"""What a parameter may hold: tiers and their bounds, patterns, tags; and versions with their labels."""

from collections.abc import Callable
from typing import Any

import pytest

from neargate.frontend.parameters import changes, rules
from neargate.frontend.parameters.book import ParameterBook
from neargate.frontend.parameters.changes import Wanted
from neargate.frontend.parameters.errors import (
    InvalidAllowedPattern,
    InvalidPolicyType,
    InvalidRequest,
    ParameterAlreadyExists,
    ParameterLimitExceeded,
    ParameterMaxVersionLimitExceeded,
    ParameterPatternMismatch,
    ParameterVersionLabelLimitExceeded,
    ParameterVersionNotFound,
    TooManyTags,
)
from neargate.frontend.parameters.records import ADVANCED, INTELLIGENT, STANDARD, Parameter, Version
from neargate.model.errors import AwsError

LARGER = "Standard tier parameters support a maximum parameter value of 4096 characters."
ADVANCED_MAX = "Advanced tier parameters support a maximum parameter value of 8192 characters."


class Account:
    """A book on which decisions are carried out at once."""

    def __init__(self) -> None:
        self.book = ParameterBook("123456789012")
        self.numbers: set[int] = set()

    def put(self, name: str = "/a", value: str = "v", **more: Any) -> Version:
        wanted = Wanted(name=name, value=value, overwrite=more.pop("overwrite", True), user="me", **more)
        change = changes.put(self.book, wanted, changes.next_version(self.book, wanted, 1.0), b"sealed")
        assert change.put is not None and change.version is not None
        self.book.apply([change.put], ())
        return change.result

    def one(self) -> Parameter:
        found = self.book.find("/a")
        assert found is not None
        return found

    def label(self, *labels: str, number: int | None = None) -> changes.Labelled:
        return self._do(changes.label(self.book, "/a", number, labels))

    def unlabel(self, *labels: str, number: int) -> changes.Labelled:
        return self._do(changes.unlabel(self.book, "/a", number, labels))

    def _do(self, change: Any) -> changes.Labelled:
        if change.put is not None:
            self.book.apply([change.put], ())
        result: changes.Labelled = change.result
        return result


def refused(error: type[AwsError], call: Callable[..., Any], *given: Any, **named: Any) -> str:
    with pytest.raises(error) as caught:
        call(*given, **named)
    return caught.value.message


def test_what_an_overwrite_leaves_out_stays() -> None:
    account = Account()
    account.put(type="SecureString", key_id="alias/mine", description="why", allowed_pattern=".+", tier=ADVANCED)
    again = account.put(value="w")
    assert (again.number, again.type, again.key_id, again.description, again.allowed_pattern, again.tier) == (
        2,
        "SecureString",
        "alias/mine",
        "why",
        ".+",
        ADVANCED,
    )
    assert account.put(allowed_pattern="", description="").allowed_pattern is None
    assert account.put(type="String").key_id is None


def test_a_new_parameter_needs_a_type_and_an_old_one_leave_to_be_overwritten() -> None:
    account = Account()
    assert refused(InvalidRequest, account.put) == "A parameter type is required when you create a parameter."
    account.put(type="String")
    assert refused(ParameterAlreadyExists, account.put, overwrite=False, type="String").startswith(
        "The parameter already"
    )
    assert refused(ParameterAlreadyExists, account.put, "a", overwrite=False, type="String"), "it has the same ARN"
    assert refused(InvalidRequest, account.put, key_id="alias/x").startswith("KeyId is required for SecureString type")
    assert refused(InvalidRequest, account.put, value="").startswith("1 validation error detected: Value at 'value'")
    assert "can't nest another parameter" in refused(InvalidRequest, account.put, value="a{{ssm:b}}c")
    account.put(value="}}{{")
    for name in ("aws:ec2:image", "aws:ssm:integration", "Text"):
        assert refused(InvalidRequest, account.put, data_type=name) == (
            f"The following data type is not supported: {name} (Data type names are all lowercase.)"
        )


@pytest.mark.parametrize(
    ("wanted", "previous", "size", "tier"),
    [
        (None, None, 4096, STANDARD),
        (None, ADVANCED, 1, ADVANCED),
        (STANDARD, None, 4096, STANDARD),
        (ADVANCED, STANDARD, 8192, ADVANCED),
        (INTELLIGENT, None, 4096, STANDARD),
        (INTELLIGENT, STANDARD, 4097, ADVANCED),
        (INTELLIGENT, ADVANCED, 1, ADVANCED),
    ],
)
def test_tiers(wanted: str | None, previous: str | None, size: int, tier: str) -> None:
    assert rules.tier_of(wanted, previous, size, standard_is_full=False) == tier


def test_tiers_refused() -> None:
    def tier(wanted: str | None, previous: str | None, size: int) -> str:
        return rules.tier_of(wanted, previous, size, standard_is_full=False)

    assert refused(InvalidRequest, tier, None, None, 4097).startswith(LARGER)
    assert refused(InvalidRequest, tier, STANDARD, None, 4097).startswith(LARGER)
    for wanted in (ADVANCED, INTELLIGENT):
        assert refused(InvalidRequest, tier, wanted, None, 8193) == ADVANCED_MAX
    assert "can't downgrade a parameter" in refused(InvalidRequest, tier, STANDARD, ADVANCED, 1)


def test_an_account_has_so_many_of_a_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "COUNT_MAX", {STANDARD: 2, ADVANCED: 1})
    account = Account()
    account.put("/a", type="String")
    account.put("/b", type="String")
    assert refused(ParameterLimitExceeded, account.put, "/c", type="String").startswith("You have exceeded the number")
    account.put("/a", value="again")
    assert account.put("/c", type="String", tier=INTELLIGENT).tier == ADVANCED
    assert refused(ParameterLimitExceeded, account.put, "/a", tier=ADVANCED)


def test_patterns() -> None:
    rules.check_pattern(r"^\d+$", "42")
    rules.check_pattern("", "anything")
    assert refused(ParameterPatternMismatch, rules.check_pattern, r"^\d+$", "4x") == (
        r"Parameter value, cannot be validated against allowedPattern: ^\d+$"
    )
    assert refused(ParameterPatternMismatch, rules.check_pattern, "a|b", "ab"), "the whole value must fit"
    for bad in ("(", "a)|(b", r"\1", "(?=a)", "*", "(((a{999}){999}){999})"):
        assert refused(InvalidAllowedPattern, rules.check_pattern, bad, "a")
    for hostile in ("(a*)*b", "(a|a)*b", "(.*)*b"):
        assert refused(ParameterPatternMismatch, rules.check_pattern, hostile, "a" * 8192)


def test_policies_and_tags() -> None:
    for none in (None, "[]", " [ {} ] "):
        rules.check_policies(none)
    assert refused(InvalidPolicyType, rules.check_policies, '[{"Type":"Expiration"}]')
    tags = rules.tags_of([{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}])
    assert rules.with_tags(tags, [{"Key": "a", "Value": "3"}]) == (("a", "3"), ("A", "2"))
    assert rules.without_tags(tags, ["A", "none"]) == (("a", "1"),)
    assert refused(InvalidRequest, rules.tags_of, [{"Key": "a", "Value": "1"}] * 2)
    assert refused(InvalidRequest, rules.tags_of, [{"Key": "AWS:x", "Value": "1"}])
    full = rules.tags_of([{"Key": f"k{number}", "Value": ""} for number in range(50)])
    assert refused(TooManyTags, rules.with_tags, full, [{"Key": "more", "Value": ""}])


def test_a_hundred_versions_are_kept_and_labels_hold_the_oldest() -> None:
    account = Account()
    for _ in range(100):
        account.put(type="String")
    assert (account.one().oldest, account.one().current.number) == (1, 100)
    account.label("keep", number=2)
    account.put()
    assert account.one().oldest == 2
    assert refused(ParameterMaxVersionLimitExceeded, account.put) == (
        "You attempted to create a new version of /a by calling the PutParameter API with the overwrite flag. "
        "Version 2, the oldest version, can't be deleted because it has a label associated with it. Move the label to "
        "another version of the parameter, and try again."
    )
    account.label("keep")
    account.put()
    assert (account.one().oldest, account.one().labels) == (3, (("keep", 101),))


def test_labels_move_and_are_counted() -> None:
    account = Account()
    account.put(type="String")
    account.put()
    said = account.label("prod", "1st", "AwsX", "ssm", "a b", "ok.", number=1)
    assert said.invalid == ("1st", "AwsX", "ssm", "a b") and account.one().labels_of(1) == ["prod", "ok."]
    account.label("prod")
    assert account.one().labels_of(1) == ["ok."] and account.one().labels_of(2) == ["prod"]
    account.label(*(f"l{number}" for number in range(9)))
    assert refused(ParameterVersionLabelLimitExceeded, account.label, "one-more")
    account.label("prod", "l1"), "those that are there already do not count twice"
    assert refused(ParameterVersionNotFound, account.label, "x", number=3) == (
        "Systems Manager could not find version 3 of /a. Verify the version and try again."
    )
    gone = account.unlabel("prod", "ok.", number=2)
    assert (gone.done, gone.invalid) == (("prod",), ("ok.",))
    assert account.unlabel("ok.", number=1).done == ("ok.",)
    assert account.one().labels_of(1) == []
