"""A notebook as one HTML page: code folded away, nothing from outside run or fetched."""

import itertools
import re
from html import escape, unescape
from pathlib import Path
from typing import Any

import nh3

from helpers.core.files import write_text

TEMPLATES = Path(__file__).parent / "templates"
TAGS = nh3.ALLOWED_TAGS - {"img", "map", "area"} | {"section", "tfoot"}
ATTRIBUTES = {
    "a": {"href"},
    "th": {"scope", "colspan", "rowspan", "class"},
    "td": {"colspan", "rowspan", "class"},
    "mark": {"title"},
    "details": {"open"},
}


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

    from helpers.report import pages

    book, page = nbformat.read(path, as_version=4), _Page()
    exporter = HTMLExporter(template_name="notebook", extra_template_basedirs=[str(TEMPLATES)])
    exporter.register_filter("safe_markdown", page.markdown)
    exporter.register_filter("safe_output", page.output)
    texts = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    title = re.search(r"^# +(.+)$", texts, re.M)
    resources = {
        "policy": pages.POLICY,
        "css": pages.TEMPLATES.globals["css"],
        "has_title": bool(title),
        "title": re.sub(r"[*_`#]", "", title[1]).strip() if title else path.stem,
        "place": f"{path.stem}, run {path.parent.name}",
    }
    html, _ = exporter.from_notebook_node(book, resources)
    write_text(path.with_suffix(".html"), pages.headings_in_order(html))
    return path.with_suffix(".html")


class _Page:
    """Filters of one page: they count tables, and name each by its section."""

    def __init__(self):
        self.tables, self.section = itertools.count(1), ""

    def markdown(self, text: str) -> str:
        """A Markdown cell; raw HTML in it is shown, not run."""
        from markdown_it import MarkdownIt

        parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        html = self._html(parser.render(text))
        for heading in re.findall(r"<h\d>(.+?)</h\d>", html):
            self.section = escape(unescape(re.sub(r"<[^>]*>", "", heading)))
        return re.sub(r'(href="0\d_\w+)\.ipynb"', r'\1.html"', html)  # the page beside this one

    def output(self, output: Any) -> str:
        """What a cell put out: the richest form that needs no script."""
        data = output.get("data", {})
        for kind in ("image/png", "image/jpeg"):
            if kind in data:
                return _image(kind, data[kind], output.get("metadata", {}).get(kind, {}))
        if "text/html" in data:
            return self._html(data["text/html"])
        if "text/markdown" in data:
            return self.markdown(data["text/markdown"])
        text = data.get("text/plain")
        return f'<pre class="text">{nh3.clean_text(text)}</pre>' if text else ""

    def _html(self, html: str) -> str:
        html = nh3.clean(
            html,
            tags=TAGS,
            attributes=ATTRIBUTES,
            url_schemes={"http", "https"},
            # of classes only the one for numbers: others could hide what stands around them
            attribute_filter=lambda _, name, value: (
                value if name != "class" or value == "n" else None
            ),
            link_rel="noopener noreferrer nofollow",
        )
        return re.sub(r"<table>.*?</table>", self._table, html, flags=re.S)

    def _table(self, match: re.Match) -> str:
        """A table that scrolls by itself and has a name; an empty heading is no heading."""
        table = re.sub(r"<th[^>]*></th>", "<td></td>", match[0])
        head, body, rest = table.partition("<tbody>")
        table = head.replace("<th>", '<th scope="col">') + body
        table += rest.replace("<th>", '<th scope="row">')
        label = f"Table {next(self.tables)}" + (f": {self.section}" if self.section else "")
        return f'<div class="scroll" role="group" tabindex="0" aria-label="{label}">{table}</div>'


def _image(kind: str, base64: str, about: dict[str, Any]) -> str:
    """A figure at the size it is meant for: its file may have more pixels than that."""
    data = re.sub(r"[^A-Za-z0-9+/=]", "", base64)
    alt = nh3.clean_text(about.get("alt") or "Figure without a description")
    sizes = [name for name in ("width", "height") if isinstance(about.get(name), int)]
    size = "".join(f' {name}="{about[name]}"' for name in sizes)
    return f'<p class="figure"><img src="data:{kind};base64,{data}" alt="{alt}"{size}></p>\n'
