"""Write the parts of the documentation that the code knows better: ``python docs/generate.py``.

What stands between two comments ``<!-- NAME -->`` and ``<!-- end -->`` is generated; a test says
so when it is out of date.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

from tipring import hookspecs
from tipring.config import SECTIONS
from tipring.settings import describe

DOCS = Path(__file__).parent
PAGES = (DOCS / "configuration.md", DOCS / "plugins" / "hooks.md")


def sections() -> Iterator[str]:
    """Every setting of the host's own."""
    for table, settings in SECTIONS.items():
        yield f"\n### `[{table}]`\n\n{inspect.cleandoc(settings.__doc__ or '')}\n"
        yield "| setting | takes | default | |\n|---|---|---|---|"
        for one in describe(settings):
            takes = f"{one.type} {one.range}".strip().replace("|", "\\|")
            default = f"`${one.secret_env}`" if one.secret_env else _code(one.default)
            yield f"| `{one.name}` | {takes} | {default} | {one.description} |"


def hooks() -> Iterator[str]:
    """Every hook with its signature and its own words."""
    for name, hook in inspect.getmembers(hookspecs, inspect.isfunction):
        if not hasattr(hook, "tipring_spec"):
            continue
        arguments = ", ".join(inspect.signature(hook).parameters)
        text, _, example = inspect.cleandoc(hook.__doc__ or "").partition("\n\nExample::\n\n")
        returns = str(inspect.signature(hook).return_annotation)
        yield f"\n### `{name}({arguments})`\n\nGives `{returns}`. {text.replace('``', '`')}"
        if example:
            yield f"\n```python\n{inspect.cleandoc(example)}\n```"


GENERATED: dict[str, Callable[[], Iterator[str]]] = {"sections": sections, "hooks": hooks}


def render(page: Path) -> str:
    """The page as it should be."""
    text = page.read_text(encoding="utf-8")
    for name, lines in GENERATED.items():
        begin = f"<!-- {name} -->\n"
        if begin in text:
            before, _, rest = text.partition(begin)
            after = rest.partition("<!-- end -->")[2]
            text = before + begin + "\n".join(lines()).strip() + "\n<!-- end -->" + after
    return text


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(render(page), encoding="utf-8")
