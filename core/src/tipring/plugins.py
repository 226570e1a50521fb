"""The plugins that are installed, and the careful loading of those that were chosen.

Finding reads entry points only: nothing is imported to know kinds and names. Loading imports one
module, asks it alone for the hook of its kind, and checks what it declares, so that a plugin that
is broken in whatever way is one named problem and never somebody else's.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pluggy

from tipring import hookspecs
from tipring.config import switch
from tipring.discovery import Found, Installed, a, check_host, discover, said
from tipring.errors import ConfigError, PluginError, did_you_mean
from tipring.providers import Call, Llm, Provider, Settings, Stt, Tts, Turn
from tipring.timebox import Late, within

if TYPE_CHECKING:
    from pipecat.observers.base_observer import BaseObserver

__all__ = ["Found", "Plugins"]

log = logging.getLogger(__name__)

_DECLARATIONS: Mapping[str, type[Provider[Any]]] = {
    "stt": Stt,
    "turn": Turn,
    "llm": Llm,
    "tts": Tts,
}
_MOST = 100  # declarations of one plugin; a generator without an end must not hang the boot


class Plugins(Installed):
    """What is installed, and what of it was loaded.

    Args:
        found: The plugins there are.
        problems: What went wrong in finding them.
        trace: Whether to tell on stderr who answered what, when, and how long it took.
        patience: Seconds one plugin may take to be imported and to declare.
    """

    def __init__(
        self,
        found: Iterable[Found],
        *,
        problems: Iterable[PluginError] = (),
        trace: bool = False,
        patience: float = 30.0,
    ) -> None:
        super().__init__(found, problems=problems)
        self._trace = trace
        self._patience = patience
        self._manager = pluggy.PluginManager("tipring")
        self._manager.add_hookspecs(hookspecs)
        self._objects: dict[Found, Any] = {}
        self._declared: dict[Found, Provider[Any] | PluginError] = {}
        self._cost: dict[Found, float] = {}

    @classmethod
    def discover(
        cls, path: Iterable[str] | None = None, *, environ: Mapping[str, str] | None = None
    ) -> Plugins:
        """Find what is installed, importing nothing.

        Args:
            path: Where to look; without it, ``sys.path``.
            environ: ``TIPRING_TRACE_PLUGINS=1`` in it turns tracing on.
        """
        found, problems = discover(path)
        trace = switch(os.environ if environ is None else environ, "TIPRING_TRACE_PLUGINS")
        return cls(found, problems=problems, trace=trace)

    def load(self, kind: str, name: str, *, dist: str | None = None) -> Provider[Any]:
        """Import one plugin and take its declaration.

        Args:
            kind: Its kind: ``stt``, ``turn``, ``llm`` or ``tts``.
            name: Its name.
            dist: Only look in this distribution.

        Raises:
            ConfigError: It is not installed.
            PluginError: It is, and cannot be used.
        """
        one = self.find(kind, name, dist=dist)
        if one not in self._declared:
            try:
                plugin = self._fetch(one)
                self._declared[one] = self._declare(one, plugin)
            except PluginError as error:
                self._declared[one] = error
        known = self._declared[one]
        if isinstance(known, PluginError):
            raise PluginError(known.where, known.what, known.fix)
        return known

    def cost(self, kind: str, name: str) -> float | None:
        """Seconds it took to import a plugin, or None when it was not."""
        return self._cost.get(self.find(kind, name))

    def watch(self, name: str) -> None:
        """Load one observer plugin, so that :meth:`observers` can ask it.

        Raises:
            ConfigError: It is not installed.
            PluginError: It is, and cannot be used.
        """
        one = self.find("observer", name)
        if one not in self._objects:
            self._fetch(one)

    def observers(self, names: Iterable[str], call: Call) -> list[BaseObserver]:
        """Who watches one call. A plugin that fails is logged and left out.

        To be called off the event loop: a plugin may take its time.

        Args:
            names: Observer plugins, as in ``[use] observers``.
            call: The call.
        """
        from pipecat.observers.base_observer import BaseObserver

        watching: list[BaseObserver] = []
        for name in names:
            try:
                self.watch(name)
                one = self.find("observer", name)
                asked = self._ask(one, "observe_call", call=call)
                strange = [item for item in asked if not isinstance(item, BaseObserver)]
                if strange:
                    raise one.refuse(
                        f"observe_call gave {a(strange[0])} where a BaseObserver was expected",
                        "derive it from pipecat.observers.base_observer.BaseObserver",
                    )
                watching += asked
            except (ConfigError, PluginError) as error:
                log.error("an observer is left out of the call: %s", error)
        return watching

    def _fetch(self, one: Found) -> Any:
        """Import a plugin and register it, after its own word on which host it is for."""
        check_host(one)
        module, _, attribute = one.module.partition(":")

        def load() -> Any:
            plugin = importlib.import_module(module)
            for part in filter(None, attribute.split(".")):
                plugin = getattr(plugin, part)
            return plugin

        outcome = within(self._patience, load)
        if isinstance(outcome.error, Late):
            raise one.refuse(
                f"importing {module} did not end in {self._patience:g} s",
                "move heavy imports and everything that waits into build()",
            )
        if outcome.error is not None:
            raise one.refuse(
                f"importing {module} failed: {said(outcome.error)}",
                f"install it again, with what it needs: pip install --force-reinstall {one.dist}",
            )
        plugin = outcome.value
        self._cost[one] = outcome.seconds
        self._tell(one, f"import {module}", outcome.seconds)
        self._register(one, plugin)
        self._objects[one] = plugin
        return plugin

    def _register(self, one: Found, plugin: Any) -> None:
        try:
            hash(plugin)  # pluggy keeps sets of plugins: one that cannot be in them harms all
            if not self._manager.is_registered(plugin):
                self._manager.register(plugin, name=one.where)
            callers = {caller.name for caller in self._manager.get_hookcallers(plugin) or ()}
        except pluggy.PluginValidationError as error:
            self._forget(plugin)
            raise one.refuse(
                "a hook of it does not fit: " + " ".join(str(error).splitlines()[1:]),
                "a hook may take what docs/plugins/hooks.md gives it, or less",
            ) from None
        except Exception as error:
            self._forget(plugin)
            raise one.refuse(
                f"it cannot be registered: {said(error)}", "make it a plain module"
            ) from None
        hook = _hook(one.kind)
        if hook in callers:
            return
        what = f"it has no hook {hook}"
        fix = f"write @hookimpl above def {hook}({_arguments(hook)})"
        if callable(getattr(plugin, hook, None)):
            what += " that is marked as one"
        elif near := did_you_mean(hook, callers):
            what += near.replace("did you mean", "its name for it seems to be").rstrip("?")
        raise one.refuse(what, fix)

    def _forget(self, plugin: Any) -> None:
        try:
            self._manager.unregister(plugin)
        except Exception:
            log.debug("a plugin that could not be registered was not there to be removed")

    def _ask(self, one: Found, hook: str, **arguments: Any) -> list[Any]:
        """Ask one plugin alone: in a shared call, one that raises silences the healthy ones."""
        plugin = self._objects[one]
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        caller = self._manager.subset_hook_caller(hook, others)

        def ask() -> list[Any]:
            items: list[Any] = []
            for result in caller(**arguments):
                if inspect.iscoroutine(result):
                    result.close()
                    raise PluginError("", "it is asynchronous", "write def, not async def")
                if isinstance(result, Provider) or not isinstance(result, Iterable):
                    raise PluginError("", f"it gave back {a(result)}, not several", "write yield")
                items += itertools.islice(result, _MOST)
            return items

        outcome = within(self._patience, ask)
        self._tell(one, hook, outcome.seconds, outcome.value)
        if outcome.value is not None:
            return outcome.value
        if isinstance(outcome.error, PluginError):
            raise one.refuse(f"{hook}: {outcome.error.what}", outcome.error.fix)
        if isinstance(outcome.error, Late):
            raise one.refuse(
                f"{hook} did not end in {self._patience:g} s",
                "declare only; do the work in build()",
            )
        assert outcome.error is not None
        raise one.refuse(f"{hook} failed: {said(outcome.error)}", f"tell the author of {one.dist}")

    def _declare(self, one: Found, plugin: Any) -> Provider[Any]:
        hook = _hook(one.kind)
        wanted = _DECLARATIONS[one.kind]
        declared = self._ask(one, hook)
        for item in declared:
            if not isinstance(item, wanted):
                raise one.refuse(
                    f"{hook} gave {a(item)} where {wanted.__name__} was expected",
                    f"yield tipring.providers.{wanted.__name__}(...)",
                )
        same = [item for item in declared if item.name == one.name]
        if len(same) != 1:
            names = ", ".join(str(item.name) for item in declared) or "nothing"
            raise one.refuse(
                f'{hook} declared {names}, and "{one.name}" has to be there once',
                f'give the declaration the entry point\'s name: name="{one.name}"',
            )
        return _valid(one, same[0])

    def _tell(
        self, one: Found, what: str, seconds: float, answers: list[Any] | None = None
    ) -> None:
        if self._trace:
            names = "".join(
                f" {getattr(item, 'name', type(item).__name__)}" for item in answers or ()
            )
            at = datetime.now().strftime("%H:%M:%S.%f")[:-3]
            line = f"plugins: {at} {one.where} ({one.source}) {what} {seconds * 1000:.1f} ms"
            print(line + (f" ->{names}" if names else ""), file=sys.stderr)


def _valid(one: Found, provider: Provider[Any]) -> Provider[Any]:
    settings: Any = provider.settings
    if not (inspect.isclass(settings) and issubclass(settings, Settings)):
        raise one.refuse(
            f"its settings are {a(settings)}, not a class of settings",
            "derive the class from tipring.providers.Settings",
        )
    if "plugin" in settings.model_fields:
        raise one.refuse(
            'it has a setting "plugin", which is the host\'s word', "call it something else"
        )
    functions: dict[str, Callable[..., Any] | None] = {
        name: getattr(provider, name, None) for name in ("build", "online", "render")
    }
    for name, function in functions.items():
        if function is None and name != "build":
            continue
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise one.refuse(f"its {name} is {a(function)}", f"make {name} a plain function")
    return provider


def _hook(kind: str) -> str:
    return "observe_call" if kind == "observer" else f"register_{kind}"


def _arguments(hook: str) -> str:
    return ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
