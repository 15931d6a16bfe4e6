"""Random legal networks through every level and through onnxruntime, on the same inputs.

    python tools/campaign.py --seconds 600 --journal campaign.jsonl      (make campaign)
    python tools/campaign.py --seed 1234                                 one case, told in full

A case is made from its number alone. Graph reference, Net reference (both float64), onnxruntime (float32) and the
simulator run it. A failing case is shrunk to the fewest nodes that still fail and kept in the journal; the journal also
says where the next run goes on. One line of JSON a case.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from openane.compiler.driver import Options, build
from openane.compiler.execution import Execution
from openane.compiler.lowering import lower
from openane.compiler.pipeline import run_pipeline
from openane.core.errors import OpenaneError, UnsupportedError
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.program import Program
from openane.targets import attach, generation

REFERENCE_TOLERANCE = 1e-9
"""Graph and Net reference in float64, relative to the largest value."""
RUNTIME_TOLERANCE = 2e-4
"""Graph reference and onnxruntime in float32."""
SIMULATOR_TOLERANCE = 3e-2
"""Half precision over a dozen layers with tables that are off by up to 8e-3."""

UNARY: tuple[Operation, ...] = (
    ops.Relu(),
    ops.LeakyRelu(0.1),
    ops.Sigmoid(),
    ops.Tanh(),
    ops.Elu(),
    ops.HardSwish(),
    ops.HardSigmoid(),
    ops.Gelu(),
    ops.Silu(),
    ops.Softplus(),
    ops.Mish(),
    ops.Erf(),
    ops.Abs(),
    ops.Neg(),
    ops.Square(),
    ops.Clip(-0.5, 0.75),
)
BINARY: tuple[Operation, ...] = (ops.Add(), ops.Sub(), ops.Mul(), ops.Max(), ops.Min())


@dataclass
class Sketch:
    """A graph while it is being made up.

    Attributes:
        random: the case's own stream of numbers.
        shapes: of every value so far.
    """

    random: np.random.Generator
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def pick(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def constant(self, *shape: int, scale: float = 1.0) -> str:
        """A new constant of normal values that half precision holds exactly."""
        name = f"c{len(self.constants)}"
        values = self.random.standard_normal(shape) * scale
        self.constants[name] = values.astype(np.float16).astype(np.float32)
        return name

    def value(self, rank: int | None = None) -> str:
        """One of the values so far, the newer the likelier."""
        names = [name for name, shape in self.shapes.items() if rank in (None, len(shape))]
        return names[-1 - min(int(self.random.geometric(0.6)) - 1, len(names) - 1)]

    def add(self, operation: Operation, *inputs: str) -> None:
        """A node, unless the operation refuses its inputs."""
        kinds = [
            TensorType(self.constants[name].shape) if name in self.constants else TensorType(self.shapes[name])
            for name in inputs
        ]
        results = operation.infer(kinds)
        names = tuple(f"v{len(self.shapes) + index}" for index in range(len(results)))
        self.nodes.append(Node(f"n{len(self.nodes)}", operation, inputs, names))
        self.shapes.update((name, kind.shape) for name, kind in zip(names, results, strict=True))


def _conv(s: Sketch) -> None:
    x = s.value(4)
    _, channels, height, width = s.shapes[x]
    groups = int(s.random.choice([g for g in (1, 1, 1, 2, channels) if channels % g == 0]))
    outputs = groups * s.pick(1, max(1, 24 // groups))
    kernel = (s.pick(1, min(5, height)), s.pick(1, min(5, width)))
    pads = tuple(s.pick(0, extent // 2) for extent in (*kernel, *kernel))
    step = (s.pick(1, 3), s.pick(1, 3)) if s.pick(0, 2) == 0 else (1, 1)
    fan_in = channels // groups * kernel[0] * kernel[1]
    weight = s.constant(outputs, channels // groups, *kernel, scale=fan_in**-0.5)
    operands = (x, weight, s.constant(outputs, scale=0.3)) if s.pick(0, 1) else (x, weight)
    s.add(ops.Conv(strides=step, pads=pads, dilations=(1, 1), groups=groups), *operands)


def _pool(s: Sketch) -> None:
    x = s.value(4)
    height, width = s.shapes[x][2:]
    kernel = (s.pick(1, min(3, height)), s.pick(1, min(3, width)))
    pads = tuple(s.pick(0, extent // 2) for extent in (*kernel, *kernel))
    strides = (s.pick(1, 2), s.pick(1, 2))
    if s.pick(0, 1):
        s.add(ops.MaxPool(kernel=kernel, strides=strides, pads=pads, dilations=(1, 1)), x)
    else:
        s.add(ops.AveragePool(kernel=kernel, strides=strides, pads=pads, dilations=(1, 1)), x)


def _unary(s: Sketch) -> None:
    s.add(UNARY[s.pick(0, len(UNARY) - 1)], s.value())


def _binary(s: Sketch) -> None:
    x, operation = s.value(), BINARY[s.pick(0, len(BINARY) - 1)]
    same = [name for name, shape in s.shapes.items() if shape == s.shapes[x]]
    if s.pick(0, 1):
        s.add(operation, x, same[s.pick(0, len(same) - 1)])
    else:
        shape = tuple(extent if s.pick(0, 1) else 1 for extent in s.shapes[x])
        s.add(operation, x, s.constant(*shape))


def _concat(s: Sketch) -> None:
    x = s.value()
    axis = s.pick(0, len(s.shapes[x]) - 1)
    fits = [
        name
        for name, shape in s.shapes.items()
        if len(shape) == len(s.shapes[x])
        and all(a == b for i, (a, b) in enumerate(zip(shape, s.shapes[x], strict=True)) if i != axis)
    ]
    s.add(ops.Concat(axis), x, fits[s.pick(0, len(fits) - 1)])


def _softmax(s: Sketch) -> None:
    x = s.value()
    s.add(ops.Softmax(s.pick(0, len(s.shapes[x]) - 1)), x)


def _reduce(s: Sketch) -> None:
    x = s.value()
    rank = len(s.shapes[x])
    axes = tuple(axis for axis in range(rank) if s.pick(0, 2) == 0) or (rank - 1,)
    kind = (ops.ReduceMean, ops.ReduceMax, ops.ReduceMin)[s.pick(0, 2)]
    s.add(kind(axes=axes, keepdims=True), x)


def _shape(s: Sketch) -> None:
    x = s.value()
    shape = s.shapes[x]
    which = s.pick(0, 2)
    if which == 0:
        s.add(ops.Transpose(tuple(int(axis) for axis in s.random.permutation(len(shape)))), x)
    elif which == 1:
        s.add(ops.Reshape((shape[0], int(np.prod(shape[1:])))), x)
    else:
        starts = tuple(s.pick(0, extent - 1) for extent in shape)
        ends = tuple(s.pick(start + 1, extent) for start, extent in zip(starts, shape, strict=True))
        s.add(ops.Slice(starts, ends, (1,) * len(shape)), x)


def _product(s: Sketch) -> None:
    x = s.value()
    inner = s.shapes[x][-1]
    s.add(ops.MatMul(), x, s.constant(inner, s.pick(1, 40), scale=inner**-0.5))


def _norm(s: Sketch) -> None:
    x = s.value()
    s.add(ops.LayerNorm(axes=(len(s.shapes[x]) - 1,), epsilon=1e-2), x)


MOVES: tuple[Callable[[Sketch], None], ...] = (
    *(_conv, _conv, _conv, _unary, _unary, _binary, _binary),
    *(_pool, _concat, _softmax, _reduce, _shape, _product, _norm),
)
NODE_LIMIT = 10
ELEMENT_LIMIT = 40_000


def make_case(seed: int) -> Graph:
    """The network of a case, from its number alone."""
    s = Sketch(np.random.default_rng(seed))
    s.shapes["x"] = (s.pick(1, 2), s.pick(1, 40), s.pick(1, 33), s.pick(1, 33))
    wanted = s.pick(1, NODE_LIMIT)
    while len(s.nodes) < wanted:
        before = Sketch(s.random, dict(s.shapes), list(s.nodes), dict(s.constants))
        try:
            MOVES[s.pick(0, len(MOVES) - 1)](s)
        except (OpenaneError, IndexError):
            s = before
            continue
        if max(int(np.prod(shape)) for shape in s.shapes.values()) > ELEMENT_LIMIT:
            s = before
    read = {name for node in s.nodes for name in node.inputs}
    outputs = tuple(name for node in s.nodes for name in node.outputs if name not in read)
    used = {name: array for name, array in s.constants.items() if name in read}
    return Graph(f"case{seed}", {"x": TensorType(s.shapes["x"])}, outputs, tuple(s.nodes), used)


@dataclass
class Verdict:
    """What became of a case: "ok", "refused", or the pair of levels that disagree or the error that escaped.

    Attributes:
        result, detail: what, and where.
        tasks: kinds of tasks that ran.
        fields: register field -> values that were written, the first FIELD_VALUES of them.
    """

    result: str
    detail: str = ""
    tasks: Counter[str] = field(default_factory=Counter)
    fields: dict[str, list[int]] = field(default_factory=dict)


def check(graph: Graph, seed: int) -> Verdict:
    """Runs one network on every level."""
    x = np.random.default_rng([seed, 1]).standard_normal(graph.inputs["x"].shape)
    x = x.astype(np.float16).astype(np.float64)
    try:
        reference = graph.evaluate({"x": x})
        found = _differs(reference, _onnxruntime(graph, x), RUNTIME_TOLERANCE)
        if found:
            return Verdict("graph and onnxruntime differ", found)
        lowered = run_pipeline(graph)
        found = _differs(reference, lowered.evaluate({"x": x}), REFERENCE_TOLERANCE)
        if found:
            return Verdict("graph passes change the result", found)
        net = lower(lowered)
        found = _differs(reference, net.evaluate({"x": x}), REFERENCE_TOLERANCE)
        if found:
            return Verdict("graph and net differ", found)
        artifact = build(graph, Options(host=False))
    except UnsupportedError as error:
        return Verdict("refused", str(error))
    tasks = Counter(_summaries(artifact.programs))
    with Execution(artifact) as execution:
        outputs = execution.run({"x": x.astype(np.float32)}).outputs
    found = _differs(reference, outputs, SIMULATOR_TOLERANCE)
    return Verdict("simulator differs" if found else "ok", found, tasks, _field_values(artifact.programs))


FIELD_VALUES = 16
"""Values of one field that a case lists; enumerations have fewer."""


def _field_values(programs: Sequence[Program]) -> dict[str, list[int]]:
    """The values of every declared field that the tasks write."""
    seen: dict[str, set[int]] = {}
    for program in programs:
        whole = attach(program)
        for task in whole.tasks:
            assert task.map is not None
            for address, word in task.registers().items():
                register = task.map.register_at(address)
                for each in register.fields:
                    seen.setdefault(f"{register.path}.{each.name}", set()).add(each.get(word))
    return {name: sorted(values)[:FIELD_VALUES] for name, values in sorted(seen.items())}


def _summaries(programs: Sequence[Program]) -> Iterator[str]:
    for program in programs:
        whole = attach(program)
        assert whole.codec is not None
        for task in whole.tasks:
            summary = whole.codec.summarize(task)
            yield f"{summary.engine} {summary.operation.split(' x')[0]}"


def _onnxruntime(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    import onnxruntime

    from openane.runtimes.host.export import export_model

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        export_model(graph).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(graph.outputs, session.run(list(graph.outputs), {"x": x.astype(np.float32)}), strict=True))


def _differs(expected: dict[str, np.ndarray], found: dict[str, np.ndarray], tolerance: float) -> str:
    for name, array in expected.items():
        other = np.asarray(found[name], np.float64).reshape(array.shape)
        scale = max(float(np.abs(array).max(initial=0.0)), 0.05)
        error = float(np.abs(array - other).max(initial=0.0)) / scale
        if not error <= tolerance:
            return f"{name}: off by {error:.3g} of the largest value {scale:.3g}"
    return ""


def judge(graph: Graph, seed: int) -> Verdict:
    """`check`, with every error that escapes turned into a verdict."""
    try:
        return check(graph, seed)
    except Exception as error:  # finding these is what a campaign is for
        return Verdict(f"{type(error).__name__} escaped", str(error)[:300])


def shrink(graph: Graph, seed: int, result: str) -> Graph:
    """The graph cut down to one output and as few nodes as still give the same kind of failure."""
    best = graph
    for node in graph.nodes:
        for name in node.outputs:
            candidate = _cone(graph, name)
            if len(candidate.nodes) < len(best.nodes) and judge(candidate, seed).result == result:
                best = candidate
    return best


def _cone(graph: Graph, output: str) -> Graph:
    needed, nodes = {output}, []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            nodes.append(node)
            needed.update(node.inputs)
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    return replace(graph, outputs=(output,), nodes=tuple(reversed(nodes)), constants=constants)


def describe(graph: Graph) -> list[str]:
    """A network in lines, shapes included."""
    types = graph.types
    return [
        f"{', '.join(node.outputs)} = {node.operation}({', '.join(f'{n}:{types[n].shape}' for n in node.inputs)})"
        for node in graph.nodes
    ]


def run_case(seed: int) -> dict[str, object]:
    """One case as a line of the journal."""
    graph = make_case(seed)
    verdict = judge(graph, seed)
    line: dict[str, object] = {
        "seed": seed,
        "result": verdict.result,
        "operations": sorted({type(node.operation).__name__ for node in graph.nodes}),
        "tasks": dict(verdict.tasks),
        "fields": verdict.fields,
    }
    if verdict.result not in ("ok", "refused"):
        line |= {"detail": verdict.detail, "network": describe(shrink(graph, seed, verdict.result))}
    elif verdict.result == "refused":
        line["detail"] = verdict.detail
    return line


def main() -> int:
    """Runs the campaign; the status is 1 when something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--start", type=int, default=0, help="first case of a new journal")
    parser.add_argument("--seed", type=int, help="run this case only")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        print("\n".join(describe(make_case(arguments.seed))))
        print(json.dumps(run_case(arguments.seed), indent=2))
        return 0
    lines = finished(arguments.journal) if arguments.journal else []
    first = max((int(str(line["seed"])) for line in lines), default=arguments.start - 1) + 1
    for line in run_for(first, arguments.seconds, arguments.jobs):
        lines.append(line)
        if arguments.journal:
            append(arguments.journal, line)
    return report(lines)


def finished(journal: Path) -> list[dict[str, object]]:
    """The whole lines of a journal; one that was cut short by a kill is left out."""
    lines = []
    for text in journal.read_text().splitlines() if journal.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def append(journal: Path, line: dict[str, object]) -> None:
    """Adds a line at once, so that a run that is killed loses no finished case."""
    with journal.open("a+b") as file:
        file.seek(0, 2)
        if file.tell():
            file.seek(-1, 2)
            cut_short = file.read(1) != b"\n"
            file.write(b"\n" * cut_short)
        file.write(json.dumps(line).encode() + b"\n")


def run_for(first: int, seconds: float, jobs: int) -> Iterator[dict[str, object]]:
    """Cases from number `first` on, for a given time, on several processes."""
    end = time.monotonic() + seconds
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        seed = first
        while time.monotonic() < end:
            yield from pool.imap_unordered(run_case, range(seed, seed + 8 * jobs))
            seed += 8 * jobs


def report(lines: Sequence[dict[str, object]]) -> int:
    """Prints results and coverage; 1 when something failed."""
    results = Counter(str(line["result"]) for line in lines)
    print(f"{len(lines)} cases: " + ", ".join(f"{count} {result}" for result, count in results.most_common()))
    print("\n".join(coverage(lines)))
    failures = [line for line in lines if line["result"] not in ("ok", "refused")]
    for line in failures[:20]:
        print(f"case {line['seed']}: {line['result']}: {line['detail']}")
        for text in line["network"]:  # type: ignore[attr-defined]
            print(f"    {text}")
    return int(bool(failures))


def coverage(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What the cases reached: operations, kinds of tasks, register fields, and values of fields that name them."""
    operations = Counter(name for line in lines for name in line["operations"])
    tasks: Counter[str] = Counter()
    written: dict[str, set[int]] = {}
    for line in lines:
        tasks.update(line["tasks"])
        for name, values in line.get("fields", {}).items():
            written.setdefault(name, set()).update(values)
    yield "operations: " + ", ".join(f"{name} {count}" for name, count in operations.most_common())
    yield "tasks: " + ", ".join(f"{name} {count}" for name, count in tasks.most_common(40))
    registers = [register for block in generation("h13").codec.registers.blocks for register in block.registers]
    fields = {
        f"{register.path}.{each.name}": each for register in registers for each in register.fields if not each.reserved
    }
    varied = [name for name in fields if len(written.get(name, ())) > 1]
    named = {name: each.values for name, each in fields.items() if each.values}
    reached = sum(len(set(values) & written.get(name, set())) for name, values in named.items())
    total = sum(map(len, named.values()))
    yield f"fields: {len(varied)} of {len(fields)} with several values; {reached} of {total} named values written"
    missing = (
        f"{name} ({', '.join(label for value, label in values.items() if value not in written.get(name, ()))})"
        for name, values in named.items()
        if not set(values) <= written.get(name, set())
    )
    yield "named values never written: " + ", ".join(missing)
    yield "never other than one value: " + ", ".join(name for name in fields if name not in varied)


if __name__ == "__main__":
    sys.exit(main())
