"""Go templates for ``--format``: the language of Go's text/template as far as Docker's users need it.

`syntax` turns a text into nodes, `evaluate` runs them on JSON values, `functions` are Go's and Docker's functions.
Errors have Go's words and positions, because scripts and people know them. Not there: define, template, block.
"""

from __future__ import annotations

from sampan.cli.template.errors import TemplateError
from sampan.cli.template.evaluate import Template

__all__ = ["Template", "TemplateError"]
