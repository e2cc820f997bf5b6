"""A notebook as one HTML page: code folded away, nothing from outside run or fetched."""

from __future__ import annotations

import itertools
import re
from html import escape, unescape
from pathlib import Path
from typing import Any

import nh3

TEMPLATES = Path(__file__).parent / "templates"
TAGS = nh3.ALLOWED_TAGS - {"img", "map", "area"} | {
    "article", "section", "details", "summary", "figure", "figcaption", "mark", "dl", "dt", "dd",
    "tfoot", "caption",
}  # fmt: skip
ATTRIBUTES = {
    "a": {"href"}, "th": {"scope", "colspan", "rowspan", "class"},
    "td": {"colspan", "rowspan", "class"}, "mark": {"title"}, "details": {"open"},
}  # fmt: skip
NUMBER = re.compile(r"(?:[-+−]?[\d,.]+(?:e[-+]?\d+)?|NaN|&lt;NA&gt;|None)")
IMAGES = ("image/png", "image/jpeg")


def notebook_html(path: Path) -> Path:
    """Write the HTML page beside a notebook, by nbconvert and a template of our own.

    Parameters
    ----------
    path : Path
        An executed notebook, ``.ipynb``.

    Returns
    -------
    Path of the page. It has one h1 (the notebook's title), folded code, images with the alt text
    their figures gave, and a Content-Security-Policy; HTML in outputs is sanitised.
    """
    import nbformat
    from nbconvert import HTMLExporter

    from helpers.report.pages import POLICY, environment, headings_in_order

    book = nbformat.read(path, as_version=4)
    page = _Page()
    exporter = HTMLExporter(template_name="notebook", extra_template_basedirs=[str(TEMPLATES)])
    exporter.register_filter("safe_markdown", page.markdown)
    exporter.register_filter("safe_output", page.output)
    titles = [re.search(r"^# +(.+)$", cell.source, re.M) for cell in book.cells
              if cell.cell_type == "markdown"]  # fmt: skip
    title = next((re.sub(r"[*_`#]", "", found[1]) for found in titles if found), path.stem)
    resources = {"policy": POLICY, "css": environment().globals["css"], "has_title": any(titles),
                 "title": title.strip(),
                 "place": f"{path.stem}, run {path.parent.name}"}  # fmt: skip
    html, _ = exporter.from_notebook_node(book, resources)
    target = path.with_suffix(".html")
    target.write_text(headings_in_order(html), "utf-8")
    return target


class _Page:
    """Filters of one page: they count headings and tables, which bear the name of their section."""

    def __init__(self):
        self.titled, self.tables, self.section = False, itertools.count(1), ""

    def markdown(self, text: str) -> str:
        """A Markdown cell; raw HTML in it is shown, not run. The first h1 stays the only one."""
        from markdown_it import MarkdownIt

        parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        html = self._html(parser.render(text))
        for heading in re.findall(r"<h\d>(.+?)</h\d>", html):
            self.section = escape(unescape(re.sub(r"<[^>]*>", "", heading)))
        return re.sub(r'(href="0\d_\w+)\.ipynb"', r'\1.html"', html)  # the page beside this one

    def output(self, output: Any) -> str:
        """What a cell put out: the richest form that needs no script."""
        data = output.get("data", {})
        for kind in IMAGES:
            if kind in data:
                return _image(kind, data[kind], output.get("metadata", {}).get(kind, {}))
        if "text/html" in data:
            return self._html(data["text/html"])
        if "text/markdown" in data:
            return self.markdown(data["text/markdown"])
        return (
            f'<pre class="text">{nh3.clean_text(data["text/plain"])}</pre>'
            if "text/plain" in data
            else ""
        )

    def _html(self, html: str) -> str:
        html = nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES, url_schemes={"http", "https"},
                         attribute_filter=_of_ours,
                         link_rel="noopener noreferrer nofollow")  # fmt: skip
        html = re.sub(r"<(/?)h1>", self._one_title, html)
        return re.sub(r"<table>.*?</table>", self._table, html, flags=re.S)

    def _one_title(self, match: re.Match) -> str:
        level = "2" if self.titled else "1"
        self.titled = self.titled or bool(match[1])
        return f"<{match[1]}h{level}>"

    def _table(self, match: re.Match) -> str:
        """A table that scrolls by itself and has a name; see :func:`_scoped` for one of pandas."""
        table = match[0] if "scope=" in match[0] else _scoped(match[0])
        label = f"Table {next(self.tables)}" + (f": {self.section}" if self.section else "")
        return f'<div class="scroll" role="group" tabindex="0" aria-label="{label}">{table}</div>'


def _of_ours(_tag: str, attribute: str, value: str) -> str | None:
    """Of classes only the one for numbers: others could hide what stands around them."""
    return value if attribute != "class" or value == "n" else None


def _scoped(table: str) -> str:
    """A frame as pandas writes it, with scopes, one row of headings, and numbers to the right."""
    head, body, rest = table.partition("<tbody>")
    named = re.sub(r"<th></th>(.*?)</tr>\s*<tr>\s*<th>([^<]+)</th>\s*(<th></th>\s*)*</tr>",
                   r"<th>\2</th>\1</tr>", head, flags=re.S)  # fmt: skip
    cells = re.findall(r"<td>(.*?)</td>", rest.partition("</tr>")[0], re.S)
    kinds = [' class="n"' if NUMBER.fullmatch(cell) else "" for cell in cells]
    turn = itertools.chain([""] * (named.count("<th>") - len(kinds)), kinds)
    head = re.sub("<th>", lambda _: f'<th scope="col"{next(turn, "")}>', named)
    rest = rest.replace("<th>", '<th scope="row">')
    rest = re.sub(r"<td>(?=[^<]*</td>)(?=" + NUMBER.pattern + "</td>)", '<td class="n">', rest)
    return re.sub(r"<th[^>]*></th>", "<td></td>", head + body + rest)


def _image(kind: str, base64: str, about: dict[str, Any]) -> str:
    """A figure at the size it is meant for: its file may have more pixels than that."""
    data = re.sub(r"[^A-Za-z0-9+/=]", "", base64)
    alt = nh3.clean_text(about.get("alt") or "Figure without a description")
    size = "".join(f' {name}="{about[name]}"' for name in ("width", "height")
                   if isinstance(about.get(name), int))  # fmt: skip
    return f'<p class="figure"><img src="data:{kind};base64,{data}" alt="{alt}"{size}></p>\n'
