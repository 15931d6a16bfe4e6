"""Published timings of single operations and small networks, counted without a program.

Every row was read from a public source, named by a letter: G ane-guide (arXiv 2606.22283), F ANEForge's result files,
X maderix/ANE and its community table, W mil-hwx-compiler. Times are one synchronous call seen from user space. Rows of
different machines of one chip differ; rows of one machine and source can be compared. Not taken: rows that their own
sources call host-bound (the M2 Pro mini), and programs of several operations whose structure is not published.

`tools/calibrate_cost.py` fits the constants to these rows and to a file of more, which is not part of the package.
"""

from __future__ import annotations

from dataclasses import dataclass

from openane.backend.task_cost import Work
from openane.cost.operations import (
    TASKS_OF_L2_NORM,
    TASKS_OF_LAYER_NORM,
    TASKS_OF_RMS_NORM,
    TASKS_OF_SOFTMAX,
    attention,
    attention_block,
    convolution,
    elementwise,
    matmul,
    rowwise,
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One published timing.

    Attributes:
        chip: name in `openane.cost.chips`.
        family: for the statistics.
        work: what was run.
        time_us: the published time.
        source: letter of the source and the machine.
        milliwatts: mean power of the neural engine's rail meanwhile, 0 when not published.
    """

    chip: str
    family: str
    work: Work
    time_us: float
    source: str
    milliwatts: float = 0.0


def _rows(
    chip: str, family: str, source: str, rows: tuple[tuple[Work, float] | tuple[Work, float, float], ...]
) -> tuple[Measurement, ...]:
    """Rows of (work, milliseconds[, milliwatts])."""
    return tuple(
        Measurement(chip, family, row[0], row[1] * 1e3, source, row[2] if len(row) == 3 else 0.0) for row in rows
    )


def _square(side: int) -> Work:
    return matmul(side, side, side)


_M1 = (
    *_rows(
        "m1",
        "convolution",
        "G M1",
        (
            (convolution(64, 64, 16, 3), 0.231),
            (convolution(64, 64, 32, 3), 0.248),
            (convolution(64, 64, 64, 3), 0.395),
            (convolution(64, 64, 128, 3), 1.062),
            (convolution(64, 64, 256, 3), 3.814),
            (convolution(256, 256, 28, 3), 0.507),
            (convolution(512, 512, 32, 1), 0.444),
            (convolution(1024, 1024, 16, 1), 0.686),
            (convolution(2048, 2048, 8, 1), 1.047),
        ),
    ),
    *_rows(
        "m1",
        "matmul",
        "F M1 Air",
        ((_square(512), 0.3317), (_square(1024), 0.9933), (_square(2048), 4.961), (_square(4096), 31.74)),
    ),
    *_rows(
        "m1",
        "convolution",
        "F M1 Air",
        (
            (convolution(64, 64, 64, 3, batch=8), 1.58),
            (convolution(128, 128, 64, 3, batch=8), 3.49, 1834),
            (convolution(256, 256, 64, 3, batch=4), 4.56, 4747),
            (convolution(512, 512, 64, 3, batch=2), 7.09, 6858),
        ),
    ),
    *_rows(
        "m1",
        "stream",
        "F M1 Air",
        ((elementwise(1_000_000), 0.85), (elementwise(8_400_000), 6.217), (elementwise(33_500_000), 25.66)),
    ),
)


def _watt_set(chip: str, source: str, times: tuple[tuple[float, float], ...]) -> tuple[Measurement, ...]:
    """The set of single operations measured with power on three machines: (milliseconds, milliwatts) in order."""
    works = (
        ("matmul", matmul(64, 256, 256)),
        ("matmul", matmul(128, 1024, 1024)),
        ("matmul", matmul(256, 4096, 4096)),
        ("convolution", convolution(16, 64, 32, 3)),
        ("convolution", convolution(256, 256, 32, 3, layers=16)),
        ("attention", attention_block(12, 197, 64)),
        ("attention", attention_block(12, 512, 64)),
        ("norm", rowwise("layer_norm", 197, 768, TASKS_OF_LAYER_NORM)),
        ("norm", rowwise("rms_norm", 197, 768, TASKS_OF_RMS_NORM)),
        ("norm", rowwise("group_norm", 256, 4096, TASKS_OF_LAYER_NORM)),
    )
    return tuple(
        Measurement(chip, family, work, milliseconds * 1e3, source, milliwatts)
        for (family, work), (milliseconds, milliwatts) in zip(works, times, strict=True)
    )


_M1_MAX = _watt_set(
    "m1max",
    "F M1 Max",
    (
        (0.164, 780),
        (0.406, 1292),
        (2.394, 3110),
        (0.191, 833),
        (1.918, 3508),
        (0.613, 2580),
        (1.815, 2353),
        (0.321, 1212),
        (1.311, 1472),
        (1.025, 1071),
    ),
)

_M2_PRO = _watt_set(
    "m2pro",
    "F M2 Pro",
    (
        (0.110, 1404),
        (0.135, 2410),
        (2.043, 4425),
        (0.107, 1430),
        (1.265, 6068),
        (0.589, 4054),
        (1.253, 3954),
        (0.283, 2153),
        (1.080, 2513),
        (0.679, 1954),
    ),
)

_M4 = (
    *_rows(
        "m4",
        "matmul",
        "F M4 Air",
        (
            (_square(512), 0.209, 1489),
            (_square(1024), 0.746, 2389),
            (_square(2048), 3.513, 3202),
            (_square(4096), 25.29, 3644),
            (_square(6144), 135.3),
            (_square(8192), 313.5),
        ),
    ),
    *_rows(
        "m4",
        "convolution",
        "F M4 Air",
        (
            (convolution(64, 64, 64, 3, batch=16), 2.29, 1651),
            (convolution(128, 128, 64, 3, batch=16), 4.71),
            (convolution(256, 256, 64, 3, batch=8), 5.99),
            (convolution(512, 512, 64, 3, batch=4), 8.14, 5480),
        ),
    ),
    *_rows(
        "m4",
        "stream",
        "F M4 Air",
        (
            (elementwise(260_000), 0.204),
            (elementwise(1_000_000), 0.570),
            (elementwise(4_000_000), 2.309),
            (elementwise(8_400_000), 4.461),
            (elementwise(16_800_000), 8.864),
        ),
    ),
    *_rows("m4", "matmul", "X M4", ((_square(256), 0.101),)),
)

_M4_MAX = _rows(
    "m4max",
    "matmul",
    "F M4 Max",
    (
        (_square(512), 0.139),
        (_square(1024), 0.371, 4151),
        (_square(2048), 1.937, 6008),
        (_square(4096), 20.56, 5223),
        (_square(6144), 123.7),
        (_square(8192), 296.5),
    ),
)

_M5_SINGLE = (
    *_rows(
        "m5pro",
        "matrix-vector",
        "F M5 Pro",
        tuple(
            (matmul(1, side, side), time)
            for side, time in (
                (64, 0.0835),
                (128, 0.074),
                (256, 0.0756),
                (512, 0.0752),
                (1024, 0.085),
                (2048, 0.133),
                (4096, 0.2931),
            )
        ),
    ),
    *_rows(
        "m5pro",
        "matmul",
        "F M5 Pro",
        (
            (matmul(16, 256, 256), 0.0725),
            (matmul(64, 512, 512), 0.078),
            (matmul(128, 512, 2048), 0.1141),
            (matmul(256, 1024, 1024), 0.1447),
            (matmul(512, 1024, 4096), 0.5302),
            (_square(1024), 0.3869),
        ),
    ),
    *_rows(
        "m5pro",
        "convolution",
        "F M5 Pro",
        (
            (convolution(16, 16, 32, 3), 0.0763),
            (convolution(32, 32, 32, 3), 0.0758),
            (convolution(64, 64, 32, 3), 0.0913),
            (convolution(128, 128, 32, 3), 0.101),
            (convolution(256, 256, 32, 3), 0.153),
            (convolution(512, 512, 32, 3), 0.3338),
            (convolution(128, 128, 32, 3, stride=2), 0.0913),
            (convolution(64, 64, 8, 3), 0.0753),
            (convolution(64, 64, 16, 3), 0.0846),
            (convolution(64, 64, 32, 3), 0.0863),
            (convolution(64, 64, 64, 3), 0.1154),
            (convolution(64, 64, 32, 1), 0.0872),
            (convolution(64, 64, 32, 5), 0.0865),
        ),
    ),
)

_M5_ROWS = (
    *_rows(
        "m5pro",
        "elementwise",
        "F M5 Pro",
        (
            (elementwise(64 * 256, name="relu"), 0.0745),
            (elementwise(64 * 256, name="gelu"), 0.0837),
            (elementwise(64 * 256, name="sigmoid"), 0.0772),
            (elementwise(256 * 1024, name="relu"), 0.1209),
            (elementwise(256 * 1024, name="gelu"), 0.1313),
            (elementwise(256 * 1024, name="sigmoid"), 0.1153),
            (elementwise(64 * 1024, name="max_pool"), 0.0898),
            (elementwise(64 * 1024, name="average_pool"), 0.0841),
            (elementwise(256 * 1024, name="max_pool"), 0.1193),
            (elementwise(256 * 1024, name="average_pool"), 0.1122),
        ),
    ),
    *_rows(
        "m5pro",
        "norm",
        "F M5 Pro",
        (
            (rowwise("softmax", 64, 256, TASKS_OF_SOFTMAX), 0.0743),
            (rowwise("l2_norm", 64, 256, TASKS_OF_L2_NORM), 0.0633),
            (rowwise("rms_norm", 64, 256, TASKS_OF_RMS_NORM), 0.0869),
            (rowwise("layer_norm", 64, 256, TASKS_OF_LAYER_NORM), 0.0734),
            (rowwise("softmax", 256, 1024, TASKS_OF_SOFTMAX), 0.1386),
            (rowwise("l2_norm", 256, 1024, TASKS_OF_L2_NORM), 0.1326),
            (rowwise("rms_norm", 256, 1024, TASKS_OF_RMS_NORM), 0.6077),
            (rowwise("layer_norm", 256, 1024, TASKS_OF_LAYER_NORM), 0.2959),
            (rowwise("group_norm", 64, 1024, TASKS_OF_LAYER_NORM), 0.0915),
            (rowwise("group_norm", 256, 1024, TASKS_OF_LAYER_NORM), 0.139),
        ),
    ),
    *_rows(
        "m5pro",
        "attention",
        "F M5 Pro",
        (
            (attention(4, 32, 64), 0.1115),
            (attention(8, 64, 64), 0.1725),
            (attention(8, 128, 64), 0.252),
            (attention(16, 128, 128), 0.6371),
        ),
    ),
)

_M5_BIG = (
    *_rows(
        "m5pro",
        "matrix-vector",
        "F M5 Pro sweep",
        tuple(
            (matmul(1, inner, columns), time)
            for inner, columns, time in (
                (512, 512, 0.0865),
                (1024, 1024, 0.0726),
                (2048, 2048, 0.1111),
                (4096, 4096, 0.2959),
                (6144, 6144, 0.5817),
                (8192, 8192, 0.9412),
                (8192, 2048, 0.2957),
                (4096, 11008, 0.659),
            )
        ),
    ),
    *_rows(
        "m5pro",
        "stream",
        "F M5 Pro",
        tuple(
            (elementwise(elements), time)
            for elements, time in (
                (260_000, 0.13),
                (1_000_000, 0.251),
                (4_000_000, 0.786),
                (8_400_000, 1.549),
                (16_800_000, 2.997),
                (33_500_000, 5.748),
                (67_000_000, 11.16),
            )
        ),
    ),
    *_watt_set(
        "m5pro",
        "F M5 Pro set",
        (
            (0.092, 620),
            (0.086, 2508),
            (1.293, 5538),
            (0.103, 836),
            (0.757, 8655),
            (0.230, 4137),
            (0.817, 4018),
            (0.195, 971),
            (0.373, 1143),
            (0.350, 1060),
        ),
    ),
)

MEASUREMENTS: tuple[Measurement, ...] = (*_M1, *_M1_MAX, *_M2_PRO, *_M4, *_M4_MAX, *_M5_SINGLE, *_M5_ROWS, *_M5_BIG)
"""All rows, machine by machine, in the order of their sources."""
