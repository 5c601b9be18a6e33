"""Shows pages that live elsewhere in the repository on the site, and leads links to them.

A page is written to be read in the repository, where its links lead to files.  Here those to a file
that the site shows lead there, and those to any other file become plain text.  A page that would
make the reader's browser fetch something from elsewhere stops the build.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
SHOWN = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "benchmarks/results/*",
    "cpp/README.md",
    "plugins/README.md",
    "plugins/*/README.md",
)
LISTED = ("examples/*.py", "examples/*.toml")
"""Files that get a page of their own, with what their head says above what they are."""

LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?!\w+:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"?(?:https?:)?//[^>]*>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what stands outside of ``docs/``."""
    for pattern in SHOWN:
        for path in sorted(ROOT.glob(pattern)):
            source = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, source, abs_src_path=str(path)))
    for pattern in LISTED:
        for path in sorted(ROOT.glob(pattern)):
            shown = path.relative_to(ROOT).with_suffix(".md").as_posix()
            files.append(File.generated(config, shown, content=listing(path)))
    return files


def listing(path: Path) -> str:
    """A page about a program or a file of options: its head as text, then all of it."""
    source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    if path.suffix != ".py":
        return f"# `{name}`\n\n```{path.suffix[1:]}\n{source}```\n"
    module = ast.parse(source)
    title, _, rest = (ast.get_docstring(module) or "").partition("\n")
    code = "".join(source.splitlines(keepends=True)[module.body[0].end_lineno :]).strip()
    # Commands and tables in a docstring are indented by four, which is code in Markdown as well.
    return f"# {title.rstrip('.')}\n\n{rest}\n\n`{name}`:\n\n```python\n{code}\n```\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links where the site has what they lead to; code is left alone."""
    del config
    here = page.file.src_uri
    within = here if not stands_in_docs(here) else f"docs/{here}"

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(within), match["target"]))
        shown = place(target, files)
        if shown is None:
            return match["text"].strip("![]") if exists(target) else match[0]
        relative = posixpath.relpath(shown, posixpath.dirname(here) or ".")
        return f"{match['text']}({relative}{match['anchor'] or ''})"

    kept = FENCED.findall(markdown)
    text = [LINK.sub(lead, part) for part in FENCED.split(markdown)]
    return "".join(part + code for part, code in zip(text, [*kept, ""], strict=True))


def place(target: str, files: Files) -> str | None:
    """Where the site shows a file of the repository, or None."""
    if target == "README.md":
        return "index.md"
    listed = target.rpartition(".")[0] + ".md"
    for uri in (target.removeprefix("docs/"), f"{target}/README.md", listed):
        if files.get_file_from_path(uri) is not None:
            return uri
    return None


def exists(target: str) -> bool:
    """Whether it is something in the repository, if not on the site."""
    return (ROOT / target).exists()


def stands_in_docs(uri: str) -> bool:
    """Whether a page stands in ``docs/``."""
    return (ROOT / "docs" / uri).exists()


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page for which a browser would go elsewhere."""
    del config
    if found := ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} would fetch {found[0]}; bring it along instead.")
    return output
