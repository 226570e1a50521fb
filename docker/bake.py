"""Load everything that the image holds, as a host does before it is ready, so that a call need not.

A model that is broken, a package that is missing or a plugin that cannot be built fails the build
of the image, and not a call. A voice that needs no key renders its phrases now. What was left out
of the image is proved not to be missed. Models are kept as the runtime would change them with every
start.

Usage: bake.py CONFIG
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import pkgutil
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path

LEFT_OUT = ("numba", "llvmlite", "resampy", "scipy", "torch")
MODELS = ("hibari/assets/*.onnx", "pipecat/audio/**/*.onnx")
# Secrets are not in an image. With these a plugin can be built, and nobody can be called.
PLACEHOLDER = "0123456789abcdef0123456789abcdef"


async def main(path: Path) -> None:
    """Rehearse what the configuration chooses."""
    from tipring import methods
    from tipring.cli.serve import import_host

    methods.begin()
    import_host()
    from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
    from tipring import config
    from tipring.errors import ConfigError
    from tipring.host import Host
    from tipring.plugins import Plugins
    from tipring.selection import rehearse, select
    from tipring.settings import secret_env
    from tipring.turns.vad import phone_vad

    LocalSmartTurnAnalyzerV3()
    phone_vad()
    plugins = Plugins.discover()
    written = config.load(path, os.environ)
    environ = dict(os.environ)
    for kind in ("stt", "turn", "llm", "tts"):
        for name in written.names(kind):
            table = written.table(kind, name)
            if "account" in table:  # as the secrets, it is known where the image runs
                environ[f"TIPRING_{kind}__{name}__ACCOUNT".upper()] = PLACEHOLDER
            alias = table.get("plugin")
            provider = plugins.load(kind, str(alias.value) if alias else name)
            for field in provider.settings.model_fields.values():
                if env := secret_env(field):
                    environ.setdefault(env, PLACEHOLDER)
    try:
        whole = config.load(path, environ)
        selection = await rehearse(select(whole, plugins))
        problems = selection.problems
        if not any(map(secret_env, type(selection.tts[0].settings).model_fields.values())):
            host = Host(whole)
            await host.load()
            await host.rendered()
            await host.close(within=0)
            problems = host.problems
    except ConfigError as error:
        # It may be right where the image runs: every value can come from the environment.
        print(f"not rehearsed, for as it stands this configuration answers no call:\n{error}")
    else:
        if problems:
            sys.exit("\n".join(f"{one.where}: {one.what}; fix: {one.fix}" for one in problems))
        print("a call would be answered with", selection)

    # What a plugin imports late: its way of rendering a phrase, say.
    modules = [name for one in distributions() if offers(one) for name in every_module(one)]
    for name in modules:
        importlib.import_module(name)
    methods.end()

    for name in LEFT_OUT:
        if importlib.util.find_spec(name) or name in sys.modules:
            sys.exit(f"{name} is in the image; something new requires it: see the Dockerfile")
    print(f"loaded: {len(modules)} modules of plugins; not here: {', '.join(LEFT_OUT)}")


def optimise(model: Path) -> None:
    """Put what ONNX Runtime makes of a model in its place: two thirds of the time to load it.

    What it makes for one kind of processor is not kept: the image may run on another.
    """
    import onnxruntime

    made = model.with_suffix(".optimised")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(made)
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    made.replace(model)


def offers(one: Distribution) -> bool:
    """Whether a distribution brings plugins."""
    return any(point.group.startswith("tipring.") for point in one.entry_points)


def every_module(one: Distribution) -> list[str]:
    """The modules of a distribution's plugins; of the host's own, those that offer something."""
    names = sorted(
        {point.module for point in one.entry_points if point.group.startswith("tipring.")}
    )
    if one.name == "tipring":
        return names
    found = list(names)
    for name in names:
        package = importlib.import_module(name)
        paths = getattr(package, "__path__", None)
        found += [sub.name for sub in pkgutil.walk_packages(paths or [], f"{name}.")]
    return found


if __name__ == "__main__":
    for pattern in MODELS:
        for model in Path(sysconfig.get_path("purelib")).glob(pattern):
            optimise(model)
    asyncio.run(main(Path(sys.argv[1])))
