"""What will answer a call: the configuration's choice, made of the plugins that work.

Your mistake is raised as :class:`~tipring.errors.ConfigError`. A plugin's failure is a problem to
be told, and the next name in the list takes its place.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tipring.config import NAME, Config, Value
from tipring.discovery import HOST, a, said
from tipring.errors import ConfigError, PluginError, TipringError
from tipring.plugins import Plugins
from tipring.providers import KINDS, Call, Provider, Settings, Turn, TurnPlan
from tipring.settings import Mistakes, mask, place, secrets_of, settle, tell
from tipring.timebox import Late, awithin

if TYPE_CHECKING:
    from tipring.discovery import Found

_LAST = "vad"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that failed and was passed over.

    Attributes:
        where: The place: ``turn.flux``.
        what: What is wrong, in a sentence.
        fix: What mends it, or what tells more.
    """

    where: str
    what: str
    fix: str

    @classmethod
    def of(cls, error: TipringError) -> Problem:
        """What an error tells. One without a mend of its own says where to look for it."""
        return cls(where=error.where, what=error.what, fix=error.fix or "tipring check --online")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One use of a plugin, ready to build.

    Attributes:
        kind: ``stt``, ``turn``, ``llm`` or ``tts``.
        name: Its name in the configuration; for a rung, the rung's.
        provider: What the plugin declared; its name is the plugin's.
        settings: Its settings, valid.
        dist: The distribution it came in, with the version.
    """

    kind: str
    name: str
    provider: Provider[Any]
    settings: Settings
    dist: str

    @property
    def where(self) -> str:
        """``turn.smart``."""
        return f"{self.kind}.{self.name}"

    def build(self, call: Call) -> Any:
        """Build it for one call.

        Returns:
            An ``STTService``, a ``TurnPlan``, a ``Rung`` or a ``TTSService``, by kind.

        Raises:
            PluginError: The plugin raised, or gave something else.
        """
        build: Callable[[Settings, Call], Any] = self.provider.build  # type: ignore[attr-defined]
        try:
            made = build(self.settings, call)
        except (Exception, SystemExit) as error:
            # The cause may hold a secret, so only its masked words go on.
            raise self.failed(error) from None
        if inspect.iscoroutine(made):
            made.close()
        if wrong := _wrong(self.kind, made):
            raise PluginError(
                self.where,
                f"its build gave {a(made)}, which is not {wrong} (from {self.dist})",
                f"give back {wrong} from build()",
            )
        return made

    def failed(self, error: BaseException) -> PluginError:
        """Tell of an exception of the plugin's without its secrets."""
        secrets = secrets_of(self.settings)
        if isinstance(error, TipringError):
            return PluginError(self.where, mask(error.what, secrets), mask(error.fix, secrets))
        told = mask(said(error), secrets)
        return PluginError(
            self.where,
            f"its build failed: {told} (from {self.dist})",
            f"tipring plugins show {self.kind}.{self.provider.name}",
        )


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What will answer a call.

    Attributes:
        stt: Who hears the caller, in order of preference; only what works.
        turn: Who proposes the end of a turn, likewise. The first one is used.
        llm: The rungs of the ladder, top rung first.
        tts: Who speaks, likewise.
        observers: Observer plugins that work, for :meth:`Plugins.observers`.
        problems: What was passed over.
        notes: What is as it should be, and may surprise.
        config: What was configured.
        plugins: What it was chosen from.
    """

    stt: tuple[Part, ...]
    turn: tuple[Part, ...]
    llm: tuple[Part, ...]
    tts: tuple[Part, ...]
    observers: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    config: Config = field(repr=False)
    plugins: Plugins = field(repr=False)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everything that is ready to build."""
        return (*self.stt, *self.turn, *self.llm, *self.tts)

    @property
    def transcribes(self) -> bool:
        """Whether the turn detector hears the caller itself, so that ``stt`` is not used."""
        return bool(self.turn) and _transcribes(self.turn[0])

    def __str__(self) -> str:
        """What answers a call: ``deepgram + smart + claude>gpt + elevenlabs``."""
        hearing = [] if self.transcribes else [part.name for part in self.stt[:1]]
        turn = [part.name for part in self.turn[:1]]
        rungs = ">".join(part.name for part in self.llm)
        return " + ".join([*hearing, *turn, rungs, *(part.name for part in self.tts[:1])])


def select(config: Config, plugins: Plugins) -> Selection:
    """Choose what will answer calls. Imports the chosen plugins, and nothing else.

    Raises:
        ConfigError: The configuration cannot be followed, or for hearing, thinking or speaking
            nothing is left that works.
    """
    mistakes: list[ConfigError] = []
    problems: list[Problem] = []
    chosen: dict[str, list[Part]] = {kind: [] for kind in KINDS}
    absent: list[ConfigError] = []
    for kind in KINDS:
        for name in config.names(kind):
            try:
                chosen[kind].append(_part(config, plugins, kind, name))
            except _NotInstalled as error:
                (absent if kind == "stt" else mistakes).append(error)
            except ConfigError as error:
                mistakes.append(error)
            except PluginError as error:
                problems.append(Problem.of(error))
    observers: list[str] = []
    for name in config.use.observers:
        try:
            plugins.watch(name)
            observers.append(name)
        except ConfigError as error:
            mistakes.append(_moved(error, config, "observers"))
        except PluginError as error:
            problems.append(Problem.of(error))
    if not chosen["turn"] and not mistakes:
        chosen["turn"] = _last_detector(config, plugins, problems)
    hears_itself = bool(chosen["turn"]) and _transcribes(chosen["turn"][0])
    if not hears_itself or config.source("use", "stt") != "default":
        mistakes += absent  # a default that is not needed need not be installed
    if mistakes:
        raise tell(mistakes)
    return _settled(
        Selection(
            stt=tuple(chosen["stt"]),
            turn=tuple(chosen["turn"]),
            llm=tuple(chosen["llm"]),
            tts=tuple(chosen["tts"]),
            observers=tuple(observers),
            problems=tuple(problems),
            config=config,
            plugins=plugins,
        )
    )


async def rehearse(
    selection: Selection,
    *,
    timeout: float = 60.0,  # noqa: ASYNC109 - a limit of each build, not of the whole
    voices: Callable[[tuple[Part, ...]], None] | None = None,
) -> Selection:
    """Build everything once, off the loop, so that no call is the first to find out.

    Args:
        selection: What was chosen.
        timeout: Seconds one build may take.
        voices: Told first of all who can speak, so that a voice can be at work meanwhile.

    Returns:
        What is left, with what failed among its problems. Nothing that was built is kept.

    Raises:
        ConfigError: For hearing, thinking or speaking nothing is left.
    """
    call = Call(id="rehearsal", language=selection.config.agent.language)
    problems = list(selection.problems)
    unspoken: list[Problem] = []
    left: dict[str, Any] = {}
    left["tts"] = await _rehearsed(selection.tts, call, timeout, unspoken)
    if voices is not None and left["tts"]:
        voices(left["tts"])
    for kind in ("turn", "stt", "llm"):
        if kind == "stt" and left["turn"] and all(map(_transcribes, left["turn"])):
            left[kind] = selection.stt  # nobody will ever ask for it
            continue
        # One after the other: imports share locks, and two cores gain nothing by a race.
        left[kind] = await _rehearsed(getattr(selection, kind), call, timeout, problems)
        if kind == "turn" and not left[kind]:
            tried = {part.provider.name for part in selection.turn}
            last = (
                []
                if _LAST in tried
                else _last_detector(selection.config, selection.plugins, problems)
            )
            left[kind] = await _rehearsed(tuple(last), call, timeout, problems)
    return _settled(replace(selection, **left, problems=(*problems, *unspoken)))


class _NotInstalled(ConfigError):
    """A name in ``[use]`` is of no plugin here."""


def _part(config: Config, plugins: Plugins, kind: str, name: str) -> Part:
    table = dict(config.table(kind, name))
    alias = table.pop("plugin", None)
    plugin = _alias(alias, kind, name) if alias else name
    try:
        found: Found = plugins.find(kind, plugin)
        provider = plugins.load(kind, plugin)
    except ConfigError as error:
        if alias:
            where = place(alias.source, f"{kind}.{name}", "plugin")
            raise _NotInstalled(where, error.what, error.fix) from None
        raise _moved(error, config, kind) from None
    except PluginError as error:
        raise PluginError(f"{kind}.{name}", error.what, error.fix) from None
    settings = settle(provider.settings, table, config.environ, f"{kind}.{name}")
    return Part(kind=kind, name=name, provider=provider, settings=settings, dist=found.source)


def _alias(alias: Value, kind: str, name: str) -> str:
    if isinstance(alias.value, str) and NAME.fullmatch(alias.value):
        return alias.value
    raise ConfigError(
        place(alias.source, f"{kind}.{name}", "plugin"),
        "it is not a plugin's name",
        'write the name as tipring plugins shows it: plugin = "NAME"',
    )


def _moved(error: ConfigError, config: Config, key: str) -> _NotInstalled:
    """Point at the line that names the plugin rather than at the plugin."""
    where = place(config.source("use", key), "use", key)
    return _NotInstalled(where, error.what, error.fix)


def _last_detector(config: Config, plugins: Plugins, problems: list[Problem]) -> list[Part]:
    """The host's own detector, for when every other has failed."""
    try:
        provider = plugins.load("turn", _LAST, dist=HOST)
        settings = settle(
            provider.settings, config.table("turn", _LAST), config.environ, f"turn.{_LAST}"
        )
        found = plugins.find("turn", _LAST, dist=HOST)
    except TipringError as error:
        problems.append(Problem.of(error))
        return []
    problems.append(
        Problem(
            where="turn",
            what="no turn detector of [use] turn works, so the end of a turn is decided by silence",
            fix="mend one of them, see above",
        )
    )
    return [Part(kind="turn", name=_LAST, provider=provider, settings=settings, dist=found.source)]


def _settled(selection: Selection) -> Selection:
    """Check that a call can be held with what is left, and note what may surprise."""
    need = [kind for kind in KINDS if kind != "stt" or not selection.transcribes]
    empty = [kind for kind in need if not getattr(selection, kind)]
    if empty or (selection.config.strict and selection.problems):
        raise _stopped(selection.problems, empty)
    # Of plugins that could not even be read nobody can say whether they were chosen.
    notes = [str(error).replace("\n  fix:  ", "; fix: ") for error in selection.plugins.problems]
    if selection.transcribes:
        turn = selection.turn[0].name
        deaf = [part.name for part in selection.turn if not _transcribes(part)]
        if selection.stt:
            stt = selection.stt[0].name
            notes.append(f'stt = "{stt}" is not used while turn = "{turn}": {turn} transcribes')
        elif deaf:
            notes.append(f'turn = "{deaf[0]}" cannot stand in for "{turn}": there is no stt')
    return replace(selection, notes=tuple(notes))


def _stopped(problems: Iterable[Problem], empty: list[str]) -> ConfigError:
    errors = [ConfigError(one.where, one.what, one.fix) for one in problems]
    for kind in empty:
        errors.append(
            ConfigError(
                f"[use] {kind}", f"no {kind} is left that works", "mend one, or name another"
            )
        )
    return errors[0] if len(errors) == 1 else Mistakes(errors)


async def _rehearsed(
    parts: tuple[Part, ...], call: Call, limit: float, problems: list[Problem]
) -> tuple[Part, ...]:
    left: list[Part] = []
    for part in parts:

        def build(part: Part = part) -> Any:
            return part.build(call)

        outcome = await awithin(limit, build)
        error = outcome.error
        if error is None:
            error = await _let_go(part, outcome.value, limit)
        if error is None:
            left.append(part)
        elif isinstance(error, Late):
            problems.append(
                Problem(
                    where=part.where,
                    what=f"its build did not end in {limit:g} s (from {part.dist})",
                    fix="a build opens no connection and waits for nobody; tell its author",
                )
            )
        elif isinstance(error, PluginError):
            problems.append(Problem.of(error))
        else:
            problems.append(Problem.of(part.failed(error)))
    return tuple(left)


async def _let_go(part: Part, built: Any, limit: float) -> Exception | None:
    """Close a rung that was only rehearsed; what else was built owns nothing yet."""
    if part.kind != "llm":
        return None
    try:
        async with asyncio.timeout(limit):
            await built.aclose()
    except TimeoutError:
        return Late()
    except Exception as error:
        return error
    return None


def _wrong(kind: str, made: Any) -> str:
    """What a build should have given, when it gave something else."""
    if kind == "turn":
        return "" if isinstance(made, TurnPlan) else "a TurnPlan"
    if kind == "llm":
        whole = callable(getattr(made, "stream", None)) and callable(getattr(made, "aclose", None))
        return "" if whole else "a Rung with stream() and aclose()"
    if kind == "stt":
        from pipecat.services.stt_service import STTService

        return "" if isinstance(made, STTService) else "an STTService"
    from pipecat.services.tts_service import TTSService

    return "" if isinstance(made, TTSService) else "a TTSService"


def _transcribes(part: Part) -> bool:
    return isinstance(part.provider, Turn) and part.provider.transcribes
