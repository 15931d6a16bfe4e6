"""Writing a model in other formats: net.plist, Core ML, MIL text, ONNX; what is written is read back and compared."""

from openane.convert.convert import Converted, Form, convert, form_of

__all__ = ["Converted", "Form", "convert", "form_of"]
