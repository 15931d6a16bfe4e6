"""One self-contained page about a compiled program: graph, timeline, memory, registers, tables, weights, errors.

`document` gathers what the page shows as plain values, `page` makes HTML of them. The page loads nothing, holds its
data as JSON, and its scripts are the files of `static`, one per concern, without a build step.
"""

from openane.viewer.document import Choices, diff_document, document
from openane.viewer.page import page

__all__ = ["Choices", "diff_document", "document", "page"]
