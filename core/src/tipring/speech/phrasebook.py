"""What the agent says in a language when nobody has written anything else."""

from __future__ import annotations

import tomllib
from importlib import resources

from tipring.sections import Agent


def in_its_language(agent: Agent) -> Agent:
    """The agent with the phrases of its language where none were written.

    They are data, a file for each language in ``tipring/speech/languages``; English ones are the
    defaults of the settings, and stay where there is no file.

    Args:
        agent: As it was written.
    """
    base = agent.language.replace("_", "-").split("-")[0].lower()
    file = resources.files("tipring.speech") / "languages" / f"{base}.toml"
    if not base.isalpha() or not file.is_file():
        return agent
    phrases = tomllib.loads(file.read_text(encoding="utf-8"))
    written = agent.model_fields_set
    return agent.model_copy(
        update={key: text for key, text in phrases.items() if key not in written}
    )
