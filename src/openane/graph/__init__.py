"""Level 1: the framework-neutral graph and its operations."""

from openane.graph.graph import Graph, Node
from openane.graph.operation import Operation, OperationCase, TensorType

__all__ = ["Graph", "Node", "Operation", "OperationCase", "TensorType"]
