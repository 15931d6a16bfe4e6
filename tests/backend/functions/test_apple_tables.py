"""The tables of backend/functions/tables.py are Apple's, byte for byte."""

import hashlib
import os
import struct
from pathlib import Path

import pytest

from openane.backend.functions import tables
from openane.numerics.tables import LookupTable

SHARED = Path(os.environ.get("OPENANE_SHARED", Path(__file__).parents[4] / "shared"))
GOLDENS = SHARED / "goldens" / "h13"

PUBLISHED = {
    "sigmoid": "73f5680aa5f7b3833479e0ecd5a9dd0e3ec221e3aad5170e9db1e40e7a0c7469",
    "tanh": "f4a38468b2a29430c8ffa4bb04cef84b8347394bbe2d6eb1081093ed4eaa57c6",
    "gelu": "34540958c4c1928918d1f50b00a88a56a3b8291f13d0b010fe4646d1d7f89838",
    "silu": "0d48f9b9a9a791fcef312a765cd621e43acb2b56306b9bf491ee0957c5842897",
    "exp2": "b7b6085a1edc7def0f0bb2fc1fe345f1ba9d9a1a47e55b4516273149323b54d2",
    "sqrt": "07dff4d87f5df889ef0981865b54a4253e00c12eb444430215be401fe2d69607",
    "rsqrt": "182158a2cbc0c3da91e3447d7afae8825d45a1e6396d611b4a48fb2ed8f0a6d3",
    "reciprocal": "8a5840509d79c95c6e5a80bdb5938d55624a29211ab6f71f8c069191bef1538b",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_bytes_have_the_published_hash(name: str) -> None:
    assert hashlib.sha256(getattr(tables, name)().encode()).hexdigest() == PUBLISHED[name]


IN_PROGRAMS = {
    "ceil": (tables.fraction, tables.integer, tables.step),
    "div": (tables.reciprocal,),
    "exp": (tables.exp2,),
    "gelu": (tables.gelu,),
    "inv": (tables.reciprocal,),
    "leakyrelu": (lambda: tables.leaky_relu(0.01),),
    "log": (tables.log2,),
    "relu6": (lambda: tables.clip(0.0, 6.0),),
    "sigmoid": (tables.sigmoid_less_half,),
    "sign": (tables.sign,),
    "silu": (tables.sigmoid_less_half,),
    "softmax": (tables.exp2,),
    "sqrt": (tables.sqrt,),
    "tanh": (tables.tanh,),
}


@pytest.mark.parametrize("name", IN_PROGRAMS)
def test_bytes_stand_in_apples_program(name: str) -> None:
    path = GOLDENS / f"eiln-{name}.anec"
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared goldens")
    data = path.read_bytes()
    task_bytes, constant_bytes = struct.unpack_from("<QQ", data, 16)
    start = 0x1000 + (task_bytes + 15) // 16 * 16
    constants = data[start : start + constant_bytes]
    images = [constants[offset : offset + 128] for offset in range(0, len(constants), 128)]
    expected = [make().encode() for make in IN_PROGRAMS[name]]
    assert images == expected
    assert [LookupTable.decode(image).encode() for image in images] == expected
