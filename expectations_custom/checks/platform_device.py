"""Platform and device. Looks only at lines with a platform the contract has rules for."""

from __future__ import annotations

from typing import Final

import narwhals as nw

from expectations_custom.rule import Check, Helpers, Rule, Scope, any_of, one_of, present
from pipeline.contract import Contract, PlatformRules

ID: Final = "platform_device"


def _rules(contract: Contract, helpers: Helpers) -> list[Rule]:
    if (platform := contract.platform) is None:
        return []
    return [*_goes_with(contract, platform), _stays(platform, helpers)]


def _goes_with(contract: Contract, rules: PlatformRules) -> list[Rule]:
    """One rule for each field that the platform limits."""
    names = tuple(dict.fromkeys(name for allowed in rules.allowed.values() for name in allowed))
    found = []
    for name in names:
        refused = any_of(
            [
                (nw.col(rules.field) == platform) & ~one_of(name, allowed[name])
                for platform, allowed in rules.allowed.items()
                if name in allowed
            ]
        )
        found.append(
            Rule(
                id=name,
                check=ID,
                field=name,
                says=f"{name} does not go with the {rules.field}",
                source="/x-platform-device-rules/allowed",
                applies=_known(rules) & one_of(name, contract.field(name).enum or ()),
                fails=refused,
            )
        )
    return found


def _stays(rules: PlatformRules, helpers: Helpers) -> Rule:
    """The platform is the one the session's first line named."""
    # Its place among the platforms: a window over numbers takes a fraction of one over texts.
    place = nw.lit(None, dtype=nw.Int8)
    for number, platform in enumerate(rules.allowed):
        place = nw.when(nw.col(rules.field) == platform).then(nw.lit(number, dtype=nw.Int8)).otherwise(place)
    first, second = helpers[Scope(rules.scope)]
    key = nw.when(_known(rules)).then(nw.col("order_key"))
    first.append(key.min().over(rules.scope).alias("_began_key"))
    began = nw.when(nw.col("order_key") == nw.col("_began_key")).then(place)
    second.append(began.max().over(rules.scope).alias("_began_with"))
    return Rule(
        id="session",
        check=ID,
        field=rules.field,
        says=f"the {rules.field} differs from the one its {rules.scope} began with",
        source="/x-platform-device-rules/scope",
        applies=_known(rules) & present(rules.scope) & ~nw.col("_began_with").is_null(),
        fails=place != nw.col("_began_with"),
        scope=rules.scope,
    )


def _known(rules: PlatformRules) -> nw.Expr:
    """A platform the contract has rules for."""
    return one_of(rules.field, tuple(rules.allowed))


CHECK: Final = Check(
    id=ID,
    type="consistency_check",
    title="Platform and device",
    says="A line fails when its device or system does not go with its platform, "
    "or the platform differs from the one its session began with.",
    expects="Expect device and system to go with the platform, and the platform to stay what its session began with.",
    rules=_rules,
)
