"""`llms.txt` (llmstxt.org): the site for programs that read text, as a list of its pages and as one file."""

from __future__ import annotations

from docs.site.navigation import Navigation

LEAD = "Residual networks as data: specs compiled to Keras 3 graphs, trained, measured and exported"


def listed(navigation: Navigation, version: str) -> str:
    """The pages by section, each with a line on what it says; links lead to their Markdown."""
    parts = [f"# reskeras {version}", f"> {LEAD}."]
    for title, paths in navigation.sections():
        lines = []
        for path in paths:
            page = navigation.pages[path]
            lines.append(f"- [{navigation.title(path)}]({path})" + (f": {page.summary}" if page.summary else ""))
        parts += [f"## {title}", "\n".join(lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def whole(navigation: Navigation) -> str:
    """All pages, one after another, each under its path."""
    texts = [
        f"<!-- {path} -->\n\n{navigation.pages[path].text.strip()}"
        for _, paths in navigation.sections()
        for path in paths
    ]
    return "\n\n".join(texts) + "\n"
