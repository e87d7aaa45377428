"""CloudFormation templates read the way CloudFormation reads them: intrinsic functions resolved to values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


class Unresolved(ValueError):
    """The template uses something that is not given here; the message names it."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """Resolves the values of one template.

    `names` are what `Ref` gives: pseudo parameters, parameters, and logical ids to physical names. `attributes` are
    what `Fn::GetAtt` gives, by `LogicalId.Attribute`. `imports` are the exports of the stacks that are deployed.
    """

    names: Mapping[str, str]
    attributes: Mapping[str, str]
    imports: Mapping[str, str]

    def resolve(self, value: Any) -> Any:
        """`value` with every intrinsic function in it replaced. Raises Unresolved."""
        if isinstance(value, list):
            return [self.resolve(element) for element in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name, argument)
        return {key: self.resolve(element) for key, element in value.items()}

    def _function(self, name: str, argument: Any) -> Any:
        value: Any
        match name:
            case "Ref":
                value = self._look_up(self.names, argument, name)
            case "Fn::GetAtt":
                path = argument if isinstance(argument, str) else ".".join(argument)
                value = self._look_up(self.attributes, path, name)
            case "Fn::ImportValue":
                value = self._look_up(self.imports, self.resolve(argument), name)
            case "Fn::Join":
                separator, parts = argument
                value = str(separator).join(str(part) for part in self.resolve(parts))
            case "Fn::Sub":
                value = self._substitute(argument)
            case "Fn::Select":
                index, elements = argument
                value = self.resolve(elements)[int(self.resolve(index))]
            case "Fn::Split":
                separator, text = argument
                value = self.resolve(text).split(separator)
            case _:
                raise Unresolved(f"{name} is not resolved here.")
        return value

    def _substitute(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else argument
        variables = {key: str(self.resolve(value)) for key, value in own.items()}

        def value_of(match: re.Match[str]) -> str:
            name = match[1]
            if name in variables:
                return variables[name]
            kind, table = ("Fn::GetAtt", self.attributes) if "." in name else ("Ref", self.names)
            return str(self._look_up(table, name, kind))

        return _VARIABLE.sub(value_of, text).replace("${!", "${")

    @staticmethod
    def _look_up(table: Mapping[str, str], key: str, function: str) -> str:
        try:
            return table[key]
        except KeyError:
            raise Unresolved(f"{function} {key!r} has no value here.") from None


def resources_of(template: Mapping[str, Any], kind: str) -> dict[str, Mapping[str, Any]]:
    """Logical id → properties of the template's resources of this type."""
    return {
        logical_id: resource.get("Properties", {})
        for logical_id, resource in template.get("Resources", {}).items()
        if resource["Type"] == kind
    }
