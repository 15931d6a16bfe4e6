"""Level 1: the framework-neutral graph and its operations."""

from openane.graph.graph import Graph, Node
from openane.graph.operation import Case, Operation, TensorType

__all__ = ["Case", "Graph", "Node", "Operation", "TensorType"]
