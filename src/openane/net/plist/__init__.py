"""net.plist, the network description that Apple's ANE compiler reads, and its weight files."""

from openane.net.plist.reading import parse_net, read_net
from openane.net.plist.writing import describe_net, write_net

__all__ = ["describe_net", "parse_net", "read_net", "write_net"]
