"""The processor as a place to run parts of a model: onnxruntime where it is installed, the reference otherwise."""

from openane.runtimes.host.session import HostSession, open_host

__all__ = ["HostSession", "open_host"]
