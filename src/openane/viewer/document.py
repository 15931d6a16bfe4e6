"""Everything that a page shows, gathered as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openane.analysis.comparison import ModelComparison
from openane.analysis.comparison import as_values as comparison_values
from openane.analysis.describe import Description, describe_program
from openane.analysis.diff import ProgramDifference
from openane.analysis.estimate import Estimate, estimate
from openane.analysis.evidence import evidence_of_model
from openane.analysis.explain import explain
from openane.artifact.plan import Artifact, EngineStep
from openane.core.errors import OpenaneError
from openane.cost.model import CostPart
from openane.formats.assembly.write import BUFFER_NAMES
from openane.graph import Graph
from openane.net import Net
from openane.program import Program
from openane.program.summary import TaskSummary
from openane.sim.decoded_task import DecodedTask, MemorySpace
from openane.targets import attach, get
from openane.targets.registry import DEFAULT_CHIP, generation
from openane.targets.target import RunOptions
from openane.viewer.memory import MemoryMap, memory_map
from openane.viewer.pictures import Pictures
from openane.viewer.words import Words

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Choices:
    """What a page is to hold next to the program itself.

    Attributes:
        chip: whose speeds the timeline shows.
        source: the model before any pass, for the user's layers.
        comparison: errors to show.
        description: of the file, where the program was read from one.
    """

    chip: str = DEFAULT_CHIP
    source: Graph | Net | None = None
    comparison: ModelComparison | None = None
    description: Description | None = None


def document(artifact: Artifact, choices: Choices | None = None) -> dict[str, Any]:
    """What the page of a compiled model shows.

    Args:
        artifact: compiled, or read from a file.
        choices: see there.

    Raises:
        InputError: there is no such chip, or a program's target does not exist.
    """
    choices = choices or Choices()
    builder = _DocumentBuilder(artifact, choices)
    return builder.document()


def diff_document(
    first: Artifact, second: Artifact, difference: ProgramDifference, choices: Choices | None = None
) -> dict[str, Any]:
    """The page of the first program, with what differs in the second.

    Raises:
        As `document`.
    """
    found = document(first, choices)
    names = (first.plan.name, second.plan.name)
    found["title"] = f"{names[0]} and {names[1]}"
    found["difference"] = asdict(difference) | {
        "tasks_in_second": sum(len(program.tasks) for program in second.programs),
        "names": list(names),
    }
    return found


class _DocumentBuilder:
    """Collects the parts of one page; tasks are numbered over all programs of the plan."""

    def __init__(self, artifact: Artifact, choices: Choices) -> None:
        self.artifact, self.choices = artifact, choices
        self.evidence = evidence_of_model(artifact)
        self.words = Words()
        self.problems: list[str] = []
        self.tasks: list[dict[str, Any]] = []
        self.programs: list[dict[str, Any]] = []
        self.feeds: list[tuple[int, int]] = []
        self.tables: list[dict[str, Any]] = []
        self.weights: list[dict[str, Any]] = []

    def document(self) -> dict[str, Any]:
        for program in self.artifact.programs:
            self._program(attach(program))
        found = self._estimate()
        if found is not None:
            for task, cost in zip(self.tasks, found.tasks, strict=True):
                parts = [round(cost.cost.times_us[part], 4) for part in CostPart if part is not CostPart.DISPATCH]
                task |= {"start": cost.start_us, "parts": parts, "bound": cost.cost.bound.value}
                task |= {"energy": cost.cost.energy_uj, "macs": cost.cost.work.macs}
                task["dram"] = cost.cost.work.dram_bytes
        layers = self._layers()
        return {
            "format": FORMAT,
            "title": self.artifact.plan.name or "program",
            "facts": list(self._facts()),
            "problems": self.problems,
            "parts": [part.value for part in CostPart if part is not CostPart.DISPATCH],
            "estimate": _estimate_values(found) if found is not None else None,
            "layers": layers,
            "programs": self.programs,
            "tasks": self.tasks,
            "declarations": self.words.declarations,
            "templates": self.words.templates,
            "words": self.words.encoded(),
            "tables": self.tables,
            "weights": self.weights,
            "errors": self._errors(layers),
        }

    # Programs -------------------------------------------------------------------------------------------------------

    def _program(self, program: Program) -> None:
        assert program.codec is not None
        base = len(self.tasks)
        works = self._works(program)
        inputs = {surface.buffer: surface.size_bytes for surface in program.inputs}
        memory = memory_map(works, inputs)
        pictures = Pictures(works, program.constants, get(program.target).spec.buffers.constants)
        names = {**BUFFER_NAMES, **{surface.buffer: surface.name for surface in program.surfaces}}
        for index, (task, offset) in enumerate(zip(program.tasks, program.task_offsets, strict=True)):
            summary = program.codec.summarize(task)
            self.tasks.append(
                {
                    "program": len(self.programs),
                    "index": index,
                    "engine": summary.engine,
                    "operation": summary.operation,
                    "summary": summary.text(names),
                    **_places(summary, names),
                    "origin": list(task.origin.layers),
                    "offset": offset,
                    "bytes": task.size_bytes,
                    **self._evidence_values(len(self.tasks)),
                    **self.words.add(program, task),
                }
            )
            if index in pictures.table_of:
                self.tasks[-1]["table"] = len(self.tables) + pictures.table_of[index]
            if index in pictures.weights_of:
                self.tasks[-1]["picture"] = len(self.weights) + pictures.weights_of[index]
        self.feeds += [(base + a, base + b) for a, b in memory.feeds]
        self.tables += [each | {"tasks": [base + task for task in each["tasks"]]} for each in pictures.tables]
        self.weights += [each | {"task": base + each["task"]} for each in pictures.weights]
        self.programs.append(self._program_values(program, base, works, memory))

    def _evidence_values(self, number: int) -> dict[str, Any]:
        """What backs a task, by its number over all programs."""
        if self.evidence is None:
            return {"evidence": "", "findings": []}
        found = self.evidence.tasks[number].evidence
        return {"evidence": found.level.text, "findings": [str(finding) for finding in found.findings]}

    def _program_values(
        self, program: Program, base: int, works: Sequence[DecodedTask], memory: MemoryMap
    ) -> dict[str, Any]:
        found = self.choices.description or describe_program(program)
        traffic = _traffic(works)
        return {
            "name": program.name,
            "target": program.target,
            "first": base,
            "count": len(program.tasks),
            "buffers": [asdict(each) | {"traffic": traffic.get(each.index, [0, 0])} for each in found.buffers],
            "tensors": [asdict(each) for each in found.tensors],
            "memory": list(_memory_values(memory, found, base)),
        }

    def _works(self, program: Program) -> tuple[DecodedTask, ...]:
        if not generation(program.target).executable:
            self.problems.append(f"programs for {program.target} are read, not simulated: no memory map, no pictures")
            return ()
        try:
            return generation(program.target).target.machine(program, RunOptions(permissive=True, until=0)).works
        except OpenaneError as error:
            self.problems.append(f"not fully understood, so the memory map and the pictures are missing: {error}")
            return ()

    # Layers ---------------------------------------------------------------------------------------------------------

    def _layers(self) -> list[dict[str, Any]]:
        source = self.choices.source
        if isinstance(source, Graph):
            return self._graph_layers(source)
        if isinstance(source, Net):
            return self._net_layers(source)
        return self._task_layers()

    def _graph_layers(self, source: Graph) -> list[dict[str, Any]]:
        found = explain(self.artifact, source)
        producer: dict[str, int] = {}
        layers = []
        for number, (node, layer) in enumerate(zip(source.nodes, found.layers, strict=True)):
            layers.append(
                {
                    "name": layer.name,
                    "operation": layer.operation,
                    "where": layer.where.value,
                    "tasks": list(layer.tasks),
                    "macs": layer.macs,
                    "shape": "x".join(map(str, source.types[node.outputs[0]].shape)) if node.outputs else "",
                    "reads": sorted({producer[name] for name in node.inputs if name in producer}),
                    "reason": str(layer.reason) if layer.reason is not None else "",
                }
            )
            producer.update((name, number) for name in node.outputs if name)
        return layers

    def _net_layers(self, net: Net) -> list[dict[str, Any]]:
        tasks: dict[str, list[int]] = {}
        for number, task in enumerate(self.tasks):
            for name in task["origin"]:
                tasks.setdefault(name, []).append(number)
        index = {unit.name: number for number, unit in enumerate(net.units)}
        layers = []
        for unit in net.units:
            own = [number for name in unit.origin.layers or (unit.name,) for number in tasks.get(name, ())]
            engines = {self.tasks[number]["engine"] for number in own}
            layers.append(
                {
                    "name": unit.name,
                    "operation": unit.params.plist_type,
                    "where": " + ".join(sorted(engines)),
                    "tasks": sorted(set(own)),
                    "macs": 0,
                    "shape": "x".join(map(str, net.shapes[unit.name].ndchw)),
                    "reads": sorted({index[name] for name in unit.bottoms if name in index}),
                    "reason": "",
                }
            )
        return layers

    def _task_layers(self) -> list[dict[str, Any]]:
        """A program from a file names no layers: its tasks stand for them, joined by the memory they share."""
        reads: dict[int, list[int]] = {}
        for writer, reader in self.feeds:
            reads.setdefault(reader, []).append(writer)
        return [
            {
                "name": " + ".join(task["origin"]) or f"task {number}",
                "operation": task["operation"],
                "where": task["engine"],
                "tasks": [number],
                "macs": 0,
                "shape": task["result_shape"],
                "reads": sorted(reads.get(number, [])),
                "reason": "",
            }
            for number, task in enumerate(self.tasks)
        ]

    # The rest -------------------------------------------------------------------------------------------------------

    def _estimate(self) -> Estimate | None:
        try:
            return estimate(self.artifact, self.choices.chip)
        except OpenaneError as error:
            if self.artifact.programs and generation(self.artifact.programs[0].target).executable:
                raise
            self.problems.append(str(error))
            return None

    def _facts(self) -> Iterator[list[str]]:
        found = self.choices.description
        yield ["generation", generation(self.artifact.target).chips + f" ({self.artifact.target})"]
        yield ["standing", generation(self.artifact.target).standing]
        if found is not None:
            yield ["file", f"{found.file}, {found.file_bytes} bytes"]
            if found.compiler:
                yield ["compiler", found.compiler]
        engine = self.artifact.programs
        yield ["programs", f"{len(engine)}, with {sum(len(program.tasks) for program in engine)} tasks"]
        host = sum(not isinstance(step, EngineStep) for step in self.artifact.plan.steps)
        if host:
            yield ["host steps", str(host)]
        yield ["constants", f"{sum(len(program.constants) for program in engine)} bytes"]
        if self.evidence is not None:
            yield ["encoding", self.evidence.text]
        for role, tensors in (("input", self.artifact.plan.inputs), ("output", self.artifact.plan.outputs)):
            for name, kind in tensors.items():
                yield [role, f"{name}: {kind}"]

    def _errors(self, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        if self.choices.comparison is None:
            return None
        index = {layer["name"]: number for number, layer in enumerate(layers)}
        values = comparison_values(self.choices.comparison)
        for row, compared in zip(values["layers"], self.choices.comparison.layers, strict=True):
            names = compared.name.split(" + ")
            row["layers"] = [index[name] for name in names if name in index]
        return values


def _places(summary: TaskSummary, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "source_shape": "x".join(map(str, summary.source_shape)),
        "result_shape": "x".join(map(str, summary.result_shape)),
        "sources": [each.text(names) for each in summary.sources],
        "result": summary.result.text(names) if summary.result else "",
        "kernel": summary.kernel.text(names) if summary.kernel else "",
        "kernel_bytes": summary.kernel_bytes,
    }


def _traffic(works: Sequence[DecodedTask]) -> dict[int, list[int]]:
    """Bytes read and written of each DRAM buffer."""
    found: dict[int, list[int]] = {}
    for work in works:
        for operand in work.sources:
            if operand.space is MemorySpace.DRAM:
                found.setdefault(operand.buffer, [0, 0])[0] += operand.size_bytes
        if work.result.space is MemorySpace.DRAM:
            found.setdefault(work.result.buffer, [0, 0])[1] += work.result.size_bytes
    return found


def _memory_values(memory: MemoryMap, found: Description, base: int) -> Iterator[dict[str, Any]]:
    sizes = {each.index: each.size_bytes for each in found.buffers}
    content = {each.index: each.content for each in found.buffers}
    order = {MemorySpace.L2: 0, MemorySpace.DRAM: 1, MemorySpace.CHAIN: 2}
    for (space, buffer), tenants in sorted(memory.tenants.items(), key=lambda item: (order[item[0][0]], item[0][1])):
        end = max(tenant.end for tenant in tenants)
        name = (
            space.value.upper()
            if space is not MemorySpace.DRAM
            else f"buffer {buffer}: {content.get(buffer, 'not known')}"
        )
        yield {
            "name": name if space is not MemorySpace.CHAIN else "chain (task to task)",
            "size": end if space is not MemorySpace.DRAM else sizes.get(buffer, end),
            "tenants": [
                [base + t.first if t.first >= 0 else -1, base + t.last, t.base, t.end, t.what] for t in tenants
            ],
        }


def _estimate_values(found: Estimate) -> dict[str, Any]:
    return {
        "chip": found.chip.name,
        "machine": found.chip.machine,
        "evidence": found.chip.evidence,
        "time": found.time_us,
        "energy": found.energy_uj,
        "dispatch": found.times_us[CostPart.DISPATCH],
        "times": {part.value: time for part, time in found.times_us.items()},
        "roofline": {name: getattr(found.roofline, name) for name in type(found.roofline).__dataclass_fields__},
        "advice": [asdict(each) for each in found.advice],
    }
