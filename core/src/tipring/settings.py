"""From what somebody wrote to a settings object, or to sentences about what is wrong with it.

Used for the host's own sections and for every provider's table alike, so both are told of in the
same words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tipring.errors import ConfigError, PluginError, did_you_mean
from tipring.providers import Settings
from tipring.written import Value

S = TypeVar("S", bound=Settings)


class Mistakes(ConfigError):
    """Several mistakes told at once.

    Attributes:
        errors: Each of them.
    """

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.where, first.what, first.fix)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class MissingSecret(PluginError):
    """A secret that a provider needs is not in the environment."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a settings class, as ``tipring plugins show`` prints it.

    Attributes:
        name: The key in the table.
        type: ``number``, ``whole number``, ``true or false``, ``text``, ``list``, ``secret`` …
        range: ``0.5 to 0.9``, ``at least 1``, ``flac | mp3``, or empty.
        default: The default as TOML would write it, or empty when there is none.
        description: The sentence its author wrote.
        secret_env: The environment variable of a secret, or empty.
        required: Whether it has to be given.
    """

    name: str
    type: str
    range: str
    default: str
    description: str
    secret_env: str
    required: bool


def tell(errors: Iterable[ConfigError]) -> ConfigError:
    """Make one error of at least one."""
    every = [
        e for error in errors for e in (error.errors if isinstance(error, Mistakes) else [error])
    ]
    return every[0] if len(every) == 1 else Mistakes(every)


def mask(text: str, secrets: Iterable[str]) -> str:
    """Take secrets out of a text that somebody else wrote, such as an exception's."""
    for secret in sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def secrets_of(settings: Settings) -> list[str]:
    """Every secret a settings object holds, for :func:`mask`."""
    held = (getattr(settings, name) for name in type(settings).model_fields)
    return [value.get_secret_value() for value in held if isinstance(value, SecretStr)]


def secret_env(field: FieldInfo) -> str:
    """The environment variable a field is read from, or empty when it is no secret."""
    extra = field.json_schema_extra
    return str(extra.get("secret_env", "")) if isinstance(extra, dict) else ""


def describe(settings: type[Settings]) -> tuple[Setting, ...]:
    """Every setting of a settings class, in the order of its author."""
    return tuple(_setting(name, field) for name, field in settings.model_fields.items())


def place(source: str, table: str, key: str) -> str:
    """Where a value was written, as its author would point at it."""
    if source.startswith("$"):
        return source
    return f"[{table}] {key}" if source == "default" else f"{source}, [{table}] {key}"


def settle(
    settings: type[S], values: Mapping[str, Value], environ: Mapping[str, str], table: str
) -> S:
    """Make the settings object of one table.

    Args:
        settings: The class.
        values: What was written, with its source. Text may stand for a list or a number, as it
            must in an environment variable.
        environ: Where secrets come from.
        table: The table's name for messages: ``turn.smart``.

    Raises:
        ConfigError: Something written cannot be; all of it is told at once.
        MissingSecret: Nothing is wrong except that a secret is not set.
    """
    fields = settings.model_fields
    mistakes: list[ConfigError] = []
    raw: dict[str, Any] = {}
    absent: list[str] = []
    hidden: list[str] = []
    for key, value in values.items():
        if reason := settings.refused.get(key):
            where = place(value.source, table, key)
            mistakes.append(ConfigError(where, f"it is not a setting: {reason}", "remove it"))
        elif key not in fields:
            mistakes.append(
                ConfigError(
                    place(value.source, table, key),
                    f'"{key}" is not a setting of [{table}]{did_you_mean(key, fields)}',
                    "use one of: " + (", ".join(fields) or "(it has no settings)"),
                )
            )
        elif env := secret_env(fields[key]):
            mistakes.append(
                ConfigError(
                    place(value.source, table, key),
                    "a secret comes from the environment, by its own variable, and is refused here",
                    f"remove it here and set {env}",
                )
            )
        else:
            raw[key] = _unfold(fields[key].annotation, value.value)
    for key, field in fields.items():
        if env := secret_env(field):
            if given := environ.get(env, ""):
                raw[key] = given
                hidden.append(given)
            elif field.is_required():
                absent.append(key)
    made: S | None = None
    try:
        made = settings.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            key = str(detail["loc"][0]) if detail["loc"] else ""
            if key not in absent:
                mistakes.append(_mistake(settings, detail, key, values, table, hidden))
    if mistakes:
        raise tell(mistakes)
    if absent or made is None:
        names = [secret_env(fields[key]) for key in absent]
        raise MissingSecret(
            table,
            " and ".join(f"${env}" for env in names)
            + (" is not set" if len(names) == 1 else " are not set"),
            "; ".join(
                f"export {env}=..., on Cloudflare: npx wrangler secret put {env}" for env in names
            ),
        )
    return made


def _mistake(
    settings: type[Settings],
    detail: ErrorDetails,
    key: str,
    values: Mapping[str, Value],
    table: str,
    hidden: list[str],
) -> ConfigError:
    field = settings.model_fields.get(key)
    env = secret_env(field) if field else ""
    source = f"${env}" if env else values[key].source if key in values else "default"
    where = place(source, table, key) if key else f"[{table}]"
    what = mask(
        _sentence(detail, shown="the value" if env else _short(toml(detail["input"]))), hidden
    )
    if field is None or env:
        return ConfigError(where, what, f"tipring plugins show {table}" if "." in table else "")
    setting = _setting(key, field)
    takes = setting.type + (f", {setting.range}" if setting.range else "")
    default = f"; its default is {setting.default}" if setting.default else ""
    return ConfigError(where, what, f"set {key} to {takes}{default}")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


_EXPECTED = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "set": "a list",
    "dict": "a table",
    "path": "a path",
}


def _sentence(detail: ErrorDetails, shown: str) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    match kind:
        case "missing":
            return "it is missing, and there is no default"
        case "greater_than_equal":
            return f"{shown} is too small: it must be at least {context['ge']}"
        case "greater_than":
            return f"{shown} is too small: it must be more than {context['gt']}"
        case "less_than_equal":
            return f"{shown} is too big: it must be at most {context['le']}"
        case "less_than":
            return f"{shown} is too big: it must be less than {context['lt']}"
        case "too_short":
            return f"it is empty: it needs at least {context['min_length']}"
        case "literal_error" | "enum":
            return f"{shown} is not {context['expected']}"
        case "value_error":
            return str(context["error"])
        case "finite_number":
            return f"{shown} is not a finite number"
    family, _, what = kind.partition("_")
    if family in _EXPECTED and what in ("type", "parsing", "from_float"):
        return f"{shown} is not {_EXPECTED[family]}"
    message = detail["msg"]
    return f"{shown} cannot be: {message[:1].lower()}{message[1:]}"


def _setting(name: str, field: FieldInfo) -> Setting:
    env = secret_env(field)
    kind, choices = _kind(field.annotation)
    required = field.is_required()
    default = None if required or env else _default(field)
    return Setting(
        name=name,
        type="secret" if env else kind,
        range="" if env else choices or _range(field),
        default="" if default is None else toml(default),
        description=field.description or "",
        secret_env=env,
        required=required,
    )


def _default(field: FieldInfo) -> Any:
    try:
        return field.get_default(call_default_factory=True, validated_data={})
    except Exception:
        return None  # a default that is made of other settings cannot be told without them


def _kind(annotation: Any) -> tuple[str, str]:
    """The word for a type, and its choices if it is a choice."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not type(None)]
        kinds = [_kind(arg) for arg in inner]
        return " or ".join(dict.fromkeys(k for k, _ in kinds)), " | ".join(c for _, c in kinds if c)
    if origin is Literal:
        return "one of", " | ".join(str(choice) for choice in get_args(annotation))
    base = origin or annotation
    if not isinstance(base, type):
        return "value", ""
    if issubclass(base, Enum):
        return "one of", " | ".join(str(member.value) for member in base)
    for known, word in (
        (bool, "true or false"),
        (int, "whole number"),
        (float, "number"),
        (str, "text"),
        ((list, tuple, set, frozenset), "list"),
        (dict, "table"),
        (SecretStr, "secret"),
    ):
        if issubclass(base, known):
            return word, ""
    return base.__name__.lower(), ""


def _range(field: FieldInfo) -> str:
    low = high = ""
    for rule in field.metadata:
        match rule:
            case annotated_types.Ge(ge=bound):
                low = f"{bound}"
            case annotated_types.Gt(gt=bound):
                low = f"more than {bound}"
            case annotated_types.Le(le=bound):
                high = f"{bound}"
            case annotated_types.Lt(lt=bound):
                high = f"less than {bound}"
    if low and high:
        return f"{low} to {high}"
    if low:
        return low if low.startswith("more") else f"at least {low}"
    return high if high.startswith("less") or not high else f"at most {high}"


def _unfold(annotation: Any, value: Any) -> Any:
    """Make a list or a table of text where the setting is one."""
    shape = _shape(annotation)
    if not isinstance(value, str) or shape is None:
        return value
    text = value.strip()
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return value
    if shape is dict:
        return value
    return [part.strip() for part in text.split(",") if part.strip()]


def _shape(annotation: Any) -> type | None:
    """``list`` or ``dict`` when a setting is one and could not be plain text."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _shape(get_args(annotation)[0])
    if origin in (Union, UnionType):
        arms = [arg for arg in get_args(annotation) if arg is not type(None)]
        shapes = [_shape(arg) for arg in arms]
        return shapes[0] if shapes and None not in shapes else None
    base = origin or annotation
    if not isinstance(base, type):
        return None
    if issubclass(base, (list, tuple, set, frozenset)):
        return list
    return dict if issubclass(base, Mapping) else None


def toml(value: Any) -> str:
    """Write a value as it would stand in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Enum):
        return toml(value.value)
    return str(value)
