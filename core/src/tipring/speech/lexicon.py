"""The words that announce a number, and the words said around one, a language each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """One language's words. The last nine are regular expressions, matched in any case.

    Attributes:
        plus: Said for the + of an international number.
        extension: Said for ``ext.`` and ``x``.
        number: Said for ``#``.
        at: Said for the @ of an e-mail address, and so on.
        dot: For its full stop.
        underscore: For its underscore.
        dash: For its hyphen.
        nouns: Things that have a number; a long number right after one is a name.
        numbered: The number of such a thing, named as such.
        strong: Words after which any number is a name.
        links: What may stand between the announcement and the number.
        dial: Words before a number one can call.
        phones: Local shapes, complete with their end.
        units: Things that are counted: with one behind it, a run of digits is a quantity.
        lasting: Durations: "extension 30 days" is not an extension.
    """

    plus: str
    extension: str
    number: str
    at: str
    dot: str
    underscore: str
    dash: str
    nouns: str
    numbered: str
    strong: str
    links: str
    dial: str
    phones: tuple[str, ...]
    units: str
    lasting: str


END = r"(?![\w/%]|[.,:-]\d|[\w.+-]*@)"
"""Where a number ends: not in a word, a fraction, a decimal, a time, a range, a percentage or an
e-mail address."""

_EN_NOUNS = (
    "order|confirmation|reference|tracking|booking|reservation|case|ticket|account|invoice|policy"
    "|member|membership|claim|serial|routing|zip|customer|patient"
)

ENGLISH = Lexicon(
    plus="plus",
    extension="extension",
    number="number",
    at="at",
    dot="dot",
    underscore="underscore",
    dash="dash",
    nouns=_EN_NOUNS,
    numbered=rf"(?:{_EN_NOUNS})\s+(?:number|no\.|num\.|id)",
    strong=r"(?:code|pin|passcode|password|ending in|ending with|ends in|ends with)",
    links=r"\s+(?:is|was)\s+|:\s*|\s+|\s+-\s+",
    dial="call|dial|text|fax|phone|ring|reach us at|number is|number",
    phones=(),
    units="dollars?|euros?|pounds?|cents?|people|million|billion|bytes|users|units|km|miles",
    lasting="seconds?|minutes?|hours?|days?|weeks?|months?|years?",
)

_ES_NOUNS = (
    "pedido|orden|confirmación|referencia|seguimiento|reserva|caso|ticket|cuenta|factura|póliza"
    "|socio|reclamo|serie|cliente|paciente|expediente"
)

SPANISH = Lexicon(
    plus="más",
    extension="extensión",
    number="número",
    at="arroba",
    dot="punto",
    underscore="guion bajo",
    dash="guion",
    nouns=_ES_NOUNS,
    numbered=rf"(?:número|núm\.|nro\.)\s+de\s+(?:la\s+|su\s+|tu\s+)?(?:{_ES_NOUNS})"
    rf"|(?:{_ES_NOUNS})\s+(?:número|núm\.|nro\.)",
    strong=r"(?:código(?:\s+(?:postal|de\s+\w+))?|pin|clave|contraseña|terminad[ao] en|termina en)",
    links=r"\s+(?:es|era)\s+(?:el\s+)?|:\s*|\s+|\s+-\s+",
    dial="llame al|llama al|llamar al|marque el|marque|marca|marcar|teléfono|número es el|número",
    phones=(
        rf"[6-9]\d{{2}} \d{{3}} \d{{3}}{END}",
        rf"[6-9]\d{{2}} \d{{2}} \d{{2}} \d{{2}}{END}",
        rf"[89]\d \d{{3}} \d{{2}} \d{{2}}{END}",
        rf"\d{{2}} \d{{4}} \d{{4}}{END}",
    ),
    units="dólares|dólar|euros?|pesos?|centavos?|céntimos?|personas|habitantes|millones|unidades|km",
    lasting="segundos?|minutos?|horas?|días?|semanas?|mes|meses|años?",
)
