"""The registers of H13 (A14, M1), every one that any program writes.

Sources, by the short names used below:

- ``programs``: some 600 task descriptors of Apple-compiled programs (2020 to 2026 compilers) were decoded with these
  fields; a rule said to be *proved* makes an interpreter of the program compute the right function, and another
  reading does not.
- ``hardware``: experiments on an M1 published by allbilly/ane and tinygrad.
- ``printer``: names and bits as the vendor's debug printer shows them (tinygrad's list).
- ``maps``: freedomtan/coreml_to_ane_hwx, ANETools, and the maps of later generations, where they agree with programs.

Where sources disagree the programs decide; the differences are reported in the docs page of the register reference.
Defaults are the words that the newest compiler writes in every task, so that text shows what makes a task special.
"""

from openane.program.registers import RegisterMap
from openane.targets.h13.registers.common import COMMON
from openane.targets.h13.registers.engines import KERNEL_DMA_SRC, NE, PE
from openane.targets.h13.registers.header import EXTRA, HEADER
from openane.targets.h13.registers.memory import L2, TILE_DMA_DST, TILE_DMA_SRC

__all__ = ["HEADER_WORDS", "REGISTERS"]

REGISTERS = RegisterMap(
    "h13",
    HEADER,
    (KERNEL_DMA_SRC, COMMON, TILE_DMA_SRC, L2, PE, NE, TILE_DMA_DST),
    EXTRA,
    "Verified: every descriptor of the programs at hand decodes and encodes to the same words. Only fp16 tensors"
    " have been seen, so the numbers of the 8-bit formats are not settled.",
)

#: Number of fixed header words.
HEADER_WORDS = len(HEADER.registers)
