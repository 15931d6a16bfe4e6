"""Language models from PyTorch to tokens on the simulator: each step is one host step and one program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openane
from openane.artifact.bundle import read_bundle
from openane.artifact.plan import Artifact, EngineStep
from openane.core.errors import ModelError
from openane.runtimes.execution import Execution

torch: Any = pytest.importorskip("torch", reason="PyTorch is missing", exc_type=ImportError)
pytest.importorskip("onnxscript", reason="onnxscript is missing", exc_type=ImportError)

from tests.support.language_models import LAYERS, LENGTH, Decoder, Encoder, Prefill  # noqa: E402

CACHE = [f"cache_{i}" for i in range(2 * LAYERS)]
PROMPT, COUNT = [7, 250, 31, 4], 6
KINDS = ["llama", "gpt2"]


def decoder(kind: str, how: str) -> Any:
    torch.manual_seed(0)
    return Decoder(kind, how).eval()


def example(module: Any, more: Sequence[Any] = ()) -> tuple[Any, ...]:
    """One token; each tensor is one of its own, since PyTorch joins inputs that are the same tensor."""
    cache = (torch.zeros(module.shape) for _ in CACHE)
    return (torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, dtype=torch.long), *cache, *more)


def compiled_step(module: Any, more: Sequence[Any] = ()) -> Artifact:
    return openane.compile(
        module,
        example_inputs=example(module, more),
        output_names=["scores", *(f"new_{name}" for name in CACHE)],
        states={name: f"new_{name}" for name in CACHE},
    )


def kinds_of_steps(artifact: Artifact) -> list[str]:
    return ["engine" if isinstance(step, EngineStep) else "host" for step in artifact.plan.steps]


def expected_tokens(module: Any, given: Sequence[Any] = ()) -> list[int]:
    """The most likely tokens by PyTorch."""
    tokens, cache = list(PROMPT), [torch.zeros(module.shape) for _ in CACHE]
    with torch.no_grad():
        for position in range(len(PROMPT) + COUNT - 1):
            scores, *cache = module(torch.tensor([[tokens[position]]]), torch.tensor([position]), *cache, *given)
            if position + 1 == len(tokens):
                tokens.append(int(scores[0, -1].argmax()))
    return tokens


def generated(artifact: Artifact, tokens: list[int], start: int, given: Mapping[str, np.ndarray]) -> list[int]:
    """Goes on from a position; `given` are inputs of the first call, or of every call if they are not states."""
    states = set(artifact.plan.states)
    with Execution(artifact) as execution:
        for position in range(start, len(PROMPT) + COUNT - 1):
            token = {"tokens": np.array([[tokens[position]]]), "positions": np.array([position])}
            outputs = execution.run(token | dict(given)).outputs
            given = {name: array for name, array in given.items() if name not in states}
            if position + 1 == len(tokens):
                tokens.append(int(outputs["scores"][0, -1].argmax()))
    return tokens


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["mask", "copy", "put"])
def test_decoding(kind: str, how: str) -> None:
    module = decoder(kind, how)
    artifact = compiled_step(module)
    assert kinds_of_steps(artifact) == ["host", "engine"]
    assert generated(artifact, list(PROMPT), 0, {}) == expected_tokens(module)


@pytest.mark.parametrize("kind", KINDS)
def test_prefill_and_decoding_in_one_bundle(kind: str, tmp_path: Path) -> None:
    """The prompt in one call, padded to eight tokens; what the padding wrote is overwritten before it is seen."""
    module = decoder(kind, "copy")
    prefill = openane.compile(
        Prefill(module, 8).eval(),
        example_inputs=(torch.zeros(1, 8, dtype=torch.long),),
        output_names=["scores", *(f"new_{name}" for name in CACHE)],
    )
    assert kinds_of_steps(prefill) == ["host", "engine"]
    path = tmp_path / f"{kind}.openane"
    openane.bundle({"prefill": prefill, "decode": compiled_step(module)}).save(path)
    bundle = read_bundle(path)
    padded = np.array([[*PROMPT, *[0] * (8 - len(PROMPT))]])
    first = openane.run(bundle, {"tokens": padded}, function="prefill")
    tokens = [*PROMPT, int(first["scores"][0, len(PROMPT) - 1].argmax())]
    cache = {name: first[f"new_{name}"] for name in CACHE}
    assert generated(bundle.select(function="decode"), tokens, len(PROMPT), cache) == expected_tokens(module)


def test_an_encoder_and_a_decoder() -> None:
    module = decoder("whisper", "copy")
    encoder = Encoder().eval()
    sound = torch.randn(1, 16, 40)
    given = [f"given_{i}" for i in range(2 * LAYERS)]
    listening = openane.compile(encoder, example_inputs=(sound,), output_names=given)
    assert kinds_of_steps(listening) == ["engine"]
    heard = openane.run(listening, {"sound": sound.numpy()})
    with torch.no_grad():
        wanted = encoder(sound)
    speaking = compiled_step(module, [torch.zeros(each.shape) for each in wanted])
    assert kinds_of_steps(speaking) == ["host", "engine"]
    inputs = {f"cache_{len(CACHE) + i}": heard[name] for i, name in enumerate(given)}
    assert generated(speaking, list(PROMPT), 0, inputs) == expected_tokens(module, wanted)


def test_a_full_cache() -> None:
    beyond = {"tokens": np.array([[1]]), "positions": np.array([LENGTH])}
    with Execution(compiled_step(decoder("gpt2", "copy"))) as execution, pytest.raises(ModelError, match="index"):
        execution.run(beyond)
