"""The H18 task stream: frames with dense and sparse commands."""

from openane.targets.frame_stream import FrameStream
from openane.targets.h18.registers import REGISTERS

STREAM = FrameStream(REGISTERS, cpu_subtype=10)
