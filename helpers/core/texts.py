"""Templates of the package: texts that are sent or printed, and pages."""

from pathlib import Path

import jinja2


def open_templates(
    folder: str, *, undefined: type[jinja2.Undefined] = jinja2.StrictUndefined
) -> jinja2.Environment:
    """The templates of a folder, such as ``mavera/texts``.

    In those of HTML everything that is not marked safe is escaped.
    """
    return jinja2.Environment(
        # By place: where papermill starts, another package may have the name `helpers`.
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / folder),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=undefined,
        autoescape=jinja2.select_autoescape(["html.j2"]),
    )
