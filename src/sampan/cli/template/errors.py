"""The one error of templates."""

from __future__ import annotations


class TemplateError(Exception):
    """A template can't be parsed or run; the text is Go's: ``template: :1:2: executing "" at <.X>: …``."""
