"""Small programs made by hand from register fields, for tests of the simulator."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from openane.core.types import DType
from openane.program import Burst, Program, Role, Surface, Task
from openane.targets.h13.registers import REGISTERS

Fields = dict[str, int]


def half(value: float) -> int:
    """fp16 bits."""
    return int(np.float16(value).view(np.uint16))


def single(value: float) -> int:
    """fp32 bits."""
    return struct.unpack("<I", struct.pack("<f", value))[0]


def make_task(fields: Fields) -> Task:
    """A task from "Block.Register.Field" values; everything else has the defaults of the declarations."""
    words: dict[int, int] = {}
    header = {register.address: 0 for register in REGISTERS.header.registers}
    for block in REGISTERS.blocks:
        for register in block.registers:
            words[register.address] = register.default
    for path, value in fields.items():
        name, _, field_name = path.rpartition(".")
        register = REGISTERS[name]
        target = header if name.startswith("Header.") else words
        target[register.address] = register.change(target[register.address], {field_name: value})
    bursts = tuple(Burst(address, (word,)) for address, word in sorted(words.items()))
    return Task(tuple(header.values()), bursts)


@dataclass
class Builder:
    """Collects tasks, surfaces and constants of one program."""

    tasks: list[Task] = field(default_factory=list)
    surfaces: list[Surface] = field(default_factory=list)
    constants: bytearray = field(default_factory=bytearray)
    scratch_bytes: int = 0

    def surface(self, name: str, role: Role, shape: tuple[int, ...], dtype: DType = DType.FLOAT16) -> Surface:
        """A surface with the plain layout: rows padded to 64 bytes."""
        n, d, c, h, w = shape
        row = -(-w * dtype.numpy.itemsize // 64) * 64
        plane, depth = row * h, row * h * c
        batch = depth * d
        made = Surface(
            name, role, (n, d, c, h, w), (batch, depth, plane, row, dtype.numpy.itemsize), batch * n,
            4 + len(self.surfaces), dtype,
        )  # fmt: skip
        self.surfaces.append(made)
        return made

    def lanes(self, streams: list[bytes]) -> Fields:
        """Puts streams into the constant section and enables their lanes."""
        fields: Fields = {"KernelDMASrc.MasterConfig.MasterEnable": 1}
        fields |= {"Header.KernelBases.KBase0": 1, "Header.KernelBases.KBE0": 1}
        for lane, stream in enumerate(streams):
            stream += bytes(-len(stream) % 64)
            fields[f"KernelDMASrc.CoeffDMAConfig[{lane}].En"] = 1
            fields[f"KernelDMASrc.CoeffBaseAddr[{lane}].Addr"] = len(self.constants)
            fields[f"KernelDMASrc.CoeffBfrSize[{lane}].MemBfrSize"] = len(stream)
            self.constants += stream
        return fields

    def add(self, *parts: Fields) -> None:
        """A task of several groups of fields, later ones win."""
        merged: Fields = {}
        for part in parts:
            merged |= part
        self.tasks.append(make_task(merged))

    def program(self) -> Program:
        """All of it."""
        offsets = tuple(range(0, 0x300 * len(self.tasks), 0x300))
        return Program(
            "h13", tuple(self.tasks), offsets, tuple(self.surfaces), bytes(self.constants), self.scratch_bytes, "made"
        )


def view(shape: tuple[int, ...], result: tuple[int, ...]) -> Fields:
    """Extents of source and result, (N, D, C, H, W)."""
    return {
        "Common.GroupConvCfg.NumGroups": shape[0],
        "Common.InDepth.Din": shape[1],
        "Common.Cin.Cin": shape[2],
        "Common.InDim.Hin": shape[3],
        "Common.InDim.Win": shape[4],
        "Common.OutDepth.Dout": result[1],
        "Common.Cout.Cout": result[2],
        "Common.OutDim.Hout": result[3],
        "Common.OutDim.Wout": result[4],
        "Common.TileCfg.TileHeight": result[3],
    }


_MEMORY_FORMATS = {DType.FLOAT16: (1, 3, 2), DType.UINT8: (0, 0, 0), DType.INT8: (0, 0, 1)}


def dram_source(surface: Surface, second: bool = False) -> Fields:
    """A source from a surface."""
    prefix, number = ("TileDMASrc.Src2", 1) if second else ("TileDMASrc.", 0)
    batch, depth, plane, row, _ = surface.strides_bytes
    mode, truncate, memory = _MEMORY_FORMATS[surface.dtype]
    fields: Fields = {
        f"Header.Bases.RBase{number}": surface.buffer,
        f"Header.Bases.RBE{number}": 1,
        "TileDMASrc.DMAConfig.En": 1,
        f"{prefix}GroupStride.Stride": batch,
        f"{prefix}DepthStride.Stride": depth,
        f"{prefix}PlaneStride.Stride": plane,
        f"{prefix}RowStride.Stride": row,
        f"{prefix}Fmt.FmtMode": 0 if second else mode,
        f"{prefix}Fmt.Truncate": truncate,
        f"{prefix}Fmt.MemFmt": memory,
    }
    if second:
        return fields | {"L2.SourceCfg.Source2Dram": 1, "Common.ChCfg.Src2InFmt": memory}
    return fields | {"L2.SourceCfg.SourceType": 2, "Common.ChCfg.InFmt": memory}


def dram_result(surface: Surface) -> Fields:
    """A result to a surface."""
    batch, depth, plane, row, _ = surface.strides_bytes
    mode, truncate, memory = _MEMORY_FORMATS[surface.dtype]
    return {
        "Header.Bases.WBase": surface.buffer,
        "Header.Bases.WBE": 1,
        "TileDMADst.DMAConfig.En": 1,
        "TileDMADst.GroupStride.GroupStride": batch,
        "TileDMADst.DepthStride.DepthStride": depth,
        "TileDMADst.PlaneStride.PlaneStride": plane,
        "TileDMADst.RowStride.RowStride": row,
        "TileDMADst.Fmt.FmtMode": mode,
        "TileDMADst.Fmt.Truncate": truncate,
        "TileDMADst.Fmt.MemFmt": memory,
        "L2.ResultCfg.ResultType": 2,
        "Common.ChCfg.OutFmt": memory,
    }


def l2(prefix: str, base: int, strides: tuple[int, int, int, int]) -> Fields:
    """A tensor in L2: prefix "Source", "Source2" or "Result"; strides of group, depth, channel, row."""
    conv = "ConvResult" if prefix == "Result" else prefix
    return {
        f"L2.{prefix}Base.Addr": base,
        f"L2.{prefix}GroupStride.Stride": strides[0],
        f"L2.{prefix}DepthStride.Stride": strides[1],
        f"L2.{conv}ChannelStride.Stride": strides[2],
        f"L2.{conv}RowStride.Stride": strides[3],
    }


PLANAR: Fields = {
    "PE.BiasScale.Scale": 0x3C00,
    "PE.PreScale.PreScale": 0x3C00,
    "PE.FinalScale.FinalScale": 0x3F800000,
}
NEURAL: Fields = {"NE.PostScale.PostScale": 0x3C00, "NE.KernelCfg.KernelFmt": 2}
PASS: Fields = NEURAL | {"NE.MACCfg.OpMode": 4, "NE.MACCfg.KernelMode": 1, "Common.GroupConvCfg.UnicastEn": 1}


def window(kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), pad: tuple[int, int] = (0, 0)) -> Fields:
    """Kernel, stride and pad as (rows, columns)."""
    return {
        "Common.ConvCfg.Kh": kernel[0],
        "Common.ConvCfg.Kw": kernel[1],
        "Common.ConvCfg.Sy": stride[0],
        "Common.ConvCfg.Sx": stride[1],
        "Common.ConvCfg.Py": pad[0],
        "Common.ConvCfg.Px": pad[1],
    }


def dense_streams(weights: np.ndarray, bias: np.ndarray | None, engines: int, cap: int) -> list[bytes]:
    """Lane streams of a dense kernel (O, I, KH, KW), fp16; missing channels of the last round are zero."""
    channels = len(weights)
    lanes = [bytearray() for _ in range(engines)]
    left, first = -(-channels // engines), 0
    while left:
        g = min(left, cap)
        for i, lane in enumerate(lanes):
            block = np.zeros((g, *weights.shape[1:]), np.float16)
            row = np.zeros(g, np.float16)
            start = first + i * g
            block[: max(0, channels - start)] = weights[start : start + g]
            if bias is not None:
                row[: max(0, channels - start)] = bias[start : start + g]
                lane += row.tobytes()
            lane += np.ascontiguousarray(block.transpose(1, 2, 3, 0)).tobytes()
        first += engines * g
        left -= g
    return [bytes(lane) for lane in lanes]


def log2_engines(channels: int) -> int:
    """ActiveNE of a kernel with so many output channels."""
    return (min(channels, 16) - 1).bit_length()
