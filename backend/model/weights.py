"""Checkpoints on disk: reading and writing safetensors, and nothing else.

A farplane folder holds config.json (transformer, text encoder, codec statistics, detail stage, notes) and float16 shards
of at most 15 MiB with an index; keys are `transformer.*`, `text.*` and `detail.*`.  A Wan folder is diffusers' own layout; only its
`transformer` part is read here (autoencoder.py and text.py read the rest).

Every fault of a file is one FarplaneError that names it.  Pickles are never opened.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...protocol.errors import FarplaneError
from .autoencoder import PixelCodec
from .config import PlateDiTConfig
from .detail import DetailConfig, DetailNet
from .dit import PlateDiT
from .words import WordEncoder

SHARD_BYTES = 15 * 2**20
FORMAT, VERSION = "farplane-checkpoint", 1
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# Computed in float32 whatever the rest is kept in, as diffusers does.
FLOAT_PARTS = ("time_embedder", "scale_shift_table", "norm2")
# Of safetensors' names for kinds of number, those that are no weights.
WHOLE_NUMBERS = {
    **{"BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8},
    **{"I16": torch.int16, "I32": torch.int32, "I64": torch.int64},
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What farplane-s is made of.  notes : plain values about its training, for the model card."""

    transformer: PlateDiT
    text: WordEncoder
    codec: PixelCodec
    detail: DetailNet | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def load_checkpoint(folder: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Read a farplane folder, ready to run.  FarplaneError names what is wrong with it."""
    parts, codec, notes = _describe(folder)
    for prefix, own in _by_part(read_tensors(folder, "model"), parts, folder):
        _fill(parts[prefix], own, folder, device, dtype)
    detail = parts.get("detail.")
    ready = None if detail is None else detail.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Checkpoint(parts["transformer."].eval(), parts["text."].eval(), codec, ready, notes)  # type: ignore[arg-type]


def network_configs(folder: Path) -> tuple[PlateDiTConfig, DetailConfig | None]:
    """What a farplane folder says of its transformer and of its detail stage, if it has one.  FarplaneError as above."""
    parts, *_ = _describe(folder)
    transformer, detail = parts["transformer."], parts.get("detail.")
    assert isinstance(transformer, PlateDiT)
    return transformer.config, detail.config if isinstance(detail, DetailNet) else None


def load_transformer(folder: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> PlateDiT:
    """Read the `transformer` folder of a Wan-VACE model in diffusers' layout into a PlateDiT."""
    transformer = _empty_transformer(folder)
    _fill(transformer, read_tensors(folder, "diffusion_pytorch_model"), folder, device, dtype)
    return transformer.eval()


def check_weights(folder: Path, kind: Literal["farplane", "wan"]) -> None:
    """Raise the FarplaneError that loading a model's folder would, before anything else is done with it.

    Only the headers of the files are read: names, shapes, kinds of number, and that the data fill the file.  Of a Wan
    folder's text encoder and autoencoder, which their libraries load, the shapes are looked at where they must agree
    with the transformer's.
    """
    if kind == "farplane":
        parts, *_ = _describe(folder)
        for prefix, own in _by_part(read_tensors(folder, "model", _shapes_of_shard), parts, folder):
            _check_fit(parts[prefix].state_dict(), own, folder)
        return
    for part in ("tokenizer", "text_encoder", "vae", "transformer"):
        if not (folder / part).is_dir():
            raise FarplaneError("model", f"{folder.name} has no {part} folder", "Download the whole model again")
    for part in ("transformer", "transformer_2"):
        if (folder / part).is_dir():
            found = read_tensors(folder / part, "diffusion_pytorch_model", _shapes_of_shard)
            _check_fit(_empty_transformer(folder / part).state_dict(), found, folder / part)
    _check_borrowed(folder, _empty_transformer(folder / "transformer").config)


def _check_borrowed(folder: Path, config: PlateDiTConfig) -> None:
    """Look at the parts of a Wan folder that their own libraries load: the tokenizer, umT5 and the autoencoder."""
    if not any((folder / "tokenizer" / name).is_file() for name in ("tokenizer.json", "spiece.model")):
        raise bad(folder / "tokenizer", "has no tokenizer.json", "Copy or download the whole folder again")
    text, vae = folder / "text_encoder", folder / "vae"
    found = read_tensors(text, "model", _shapes_of_shard)
    words = found.get("shared.weight", found.get("encoder.embed_tokens.weight"))  # one tensor under either name
    if words is None or words.shape != (read_json(text / "config.json").get("vocab_size"), config.text_dim):
        shape = "no words" if words is None else f"words of shape {list(words.shape)}"
        problem = f"has {shape}, and the transformer reads words of {config.text_dim} numbers"
        raise bad(text, problem, "Use the text encoder that belongs to the transformer")
    read_tensors(vae, "diffusion_pytorch_model", _shapes_of_shard)
    if (channels := read_json(vae / "config.json").get("z_dim", 16)) != config.in_channels:
        problem = f"makes {channels} channels, and the transformer reads {config.in_channels}"
        raise bad(vae, problem, "Use the autoencoder that belongs to the transformer")


def _describe(folder: Path) -> tuple[dict[str, nn.Module], PixelCodec, Mapping[str, Any]]:
    """What the config.json of a farplane folder describes: modules without memory, by the prefix of their weights."""
    path = folder / "config.json"
    config = read_json(path)
    if config.get("format") != FORMAT or config.get("version") != VERSION:
        raise bad(path, f"is no {FORMAT} of version {VERSION}", "Use a checkpoint of this release")
    try:
        codec = PixelCodec.from_config(config["codec"])
        with torch.device("meta"):
            parts: dict[str, nn.Module] = {
                "transformer.": PlateDiT(PlateDiTConfig.from_dict(config["transformer"])),
                "text.": WordEncoder.from_config(config["text"]),
            }
            if config.get("detail"):
                parts["detail."] = DetailNet(DetailConfig(**config["detail"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise bad(path, f"does not describe a model ({error!r})", "Copy the checkpoint again") from error
    return parts, codec, config.get("notes", {})


def _by_part(
    tensors: Mapping[str, Tensor], parts: Mapping[str, nn.Module], folder: Path
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The weights of each part under its own names, with the part's prefix."""
    stray = sorted(key for key in tensors if not key.startswith(tuple(parts)))
    if stray:
        raise bad(folder, f"holds unknown weights ({_some(stray)})", "Use a checkpoint of this release")
    for prefix in parts:
        yield prefix, {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _empty_transformer(folder: Path) -> PlateDiT:
    """What a Wan transformer's config.json describes, without memory behind its weights."""
    path = folder / "config.json"
    config = read_json(path)
    name = config.get("_class_name", "WanVACETransformer3DModel")
    if name != "WanVACETransformer3DModel":
        raise bad(path, f"is a {name}, not a VACE transformer", "Use a Wan-VACE folder in diffusers' layout")
    try:
        with torch.device("meta"):
            return PlateDiT(PlateDiTConfig.from_dict(config))
    except (TypeError, ValueError) as error:
        raise bad(path, f"does not describe a transformer ({error})", "Download the model again") from error


def save_checkpoint(folder: Path, checkpoint: Checkpoint, dtype: torch.dtype = torch.float16) -> None:
    """Write a farplane folder; one that is there already is replaced at the end, in one step.

    ValueError when a weight is not finite in `dtype`.
    """
    modules: dict[str, nn.Module] = {"transformer.": checkpoint.transformer, "text.": checkpoint.text}
    if checkpoint.detail is not None:
        modules["detail."] = checkpoint.detail
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        for key, value in module.state_dict().items():
            tensors[prefix + key] = value.detach().to("cpu", dtype).contiguous()
            if not torch.isfinite(tensors[prefix + key]).all():
                raise ValueError(f"{prefix}{key} is not finite in {dtype}")
    config = {
        "format": FORMAT,
        "version": VERSION,
        "transformer": checkpoint.transformer.config.to_dict(),
        "text": checkpoint.text.to_config(),
        "codec": checkpoint.codec.to_config(),
        "detail": checkpoint.detail and checkpoint.detail.config.to_dict(),
        "notes": dict(checkpoint.notes),
    }
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    _write_shards(fresh, tensors, "model")
    (fresh / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    if folder.exists():
        for kept in folder.iterdir():  # a model card beside the weights stays
            if kept.is_file() and kept.suffix in (".md", ".txt"):
                shutil.copy2(kept, fresh / kept.name)
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def _read_shard(path: Path) -> dict[str, Tensor]:
    return _of_shard(path, lambda shard, key: shard.get_tensor(key))


def _shapes_of_shard(path: Path) -> dict[str, Tensor]:
    """The same without data: tensors of the right shapes and nothing behind them."""

    def shape(shard: Any, key: str) -> Tensor:
        found = shard.get_slice(key)
        dtype = WHOLE_NUMBERS.get(found.get_dtype(), torch.float32)
        return torch.empty(found.get_shape(), dtype=dtype, device="meta")

    return _of_shard(path, shape)


def read_tensors(
    folder: Path, stem: str, read_shard: Callable[[Path], dict[str, Tensor]] = _read_shard
) -> dict[str, Tensor]:
    """All tensors of `stem`.safetensors, or of the shards that `stem`.safetensors.index.json names; on the CPU."""
    index, single = folder / f"{stem}.safetensors.index.json", folder / f"{stem}.safetensors"
    if index.is_file():
        where = read_json(index).get("weight_map")
        if not isinstance(where, dict) or not all(isinstance(v, str) and v == Path(v).name for v in where.values()):
            raise bad(index, "has no sound weight_map", "Copy the checkpoint again")
        tensors = _merge((folder / shard for shard in sorted(set(where.values()))), read_shard)
        missing = sorted(set(where) - set(tensors))
        if missing:
            raise bad(index, f"names weights that its shards lack ({_some(missing)})", "Copy the checkpoint again")
        return tensors
    if single.is_file():
        return _merge([single], read_shard)
    pickles = [p.name for p in sorted(folder.iterdir()) if p.suffix in PICKLES] if folder.is_dir() else []
    if pickles:
        raise bad(
            folder / pickles[0],
            "is a pickle, which can run code when opened, so it is not",
            "Convert it to safetensors where you trust it",
        )
    raise bad(single, "is missing", "Copy or download the whole folder again")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise bad(path, "is missing", "Copy or download the whole folder again") from error
    except (OSError, ValueError) as error:
        raise bad(path, "is not readable JSON", "Copy or download the folder again") from error
    if not isinstance(values, dict):
        raise bad(path, "is not a JSON object", "Copy or download the folder again")
    return values


def bad(path: Path, problem: str, remedy: str) -> FarplaneError:
    """A fault of one file or folder of a checkpoint."""
    return FarplaneError("model", f"{path.parent.name}/{path.name} {problem}", remedy)


def _merge(paths: Iterable[Path], read_shard: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in paths:
        for key, value in read_shard(path).items():
            if key in tensors:
                raise bad(path, f"repeats the weight {key}", "Copy or download the folder again")
            tensors[key] = value
    return tensors


def _of_shard(path: Path, read: Callable[[Any, str], Tensor]) -> dict[str, Tensor]:
    if not path.is_file():
        raise bad(path, "is missing", "Copy or download the whole folder again")
    try:
        with safe_open(path, framework="pt") as shard:  # checks the header's length and that the data fill the file
            _refuse_repeats(path)
            return {key: read(shard, key) for key in shard.keys()}  # noqa: SIM118 it is no dict
    except (SafetensorError, OSError, RuntimeError) as error:
        if _looks_pickled(path):
            raise bad(path, "is a pickle under another name", "Convert it to safetensors where you trust it") from error
        raise bad(path, f"is truncated or damaged ({error})", "Copy or download that file again") from error


def _looks_pickled(path: Path) -> bool:
    """Whether a file that is no safetensors begins like a pickle, or like the zip that torch.save writes."""
    with path.open("rb") as file:
        start = file.read(2)
    return start == b"PK" or (start[:1] == b"\x80" and start[1:] in (b"\2", b"\3", b"\4", b"\5"))


def _refuse_repeats(path: Path) -> None:
    """The library keeps the last of two equal keys and says nothing."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            twice = sorted({key for key in keys if keys.count(key) > 1})
            raise bad(path, f"repeats {_some(twice)}", "Copy or download the folder again")
        return dict(pairs)

    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        json.loads(file.read(length), object_pairs_hook=unique)


def _fill(
    module: nn.Module, tensors: dict[str, Tensor], folder: Path, device: str | torch.device, dtype: torch.dtype
) -> None:
    """Put tensors into a module in place of its own parameters; exactly its keys and shapes."""
    wanted = module.state_dict()
    _check_fit(wanted, tensors, folder)
    ready = {}
    for key in wanted:
        value = tensors.pop(key)
        kept = torch.float32 if any(part in key for part in FLOAT_PARTS) else dtype
        ready[key] = value.to(device, kept)
    module.load_state_dict(ready, strict=True, assign=True)


def _check_fit(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Raise FarplaneError unless `tensors` have exactly these keys and shapes, and are floating-point."""
    for problem, keys in (("lacks", set(wanted) - set(tensors)), ("has unknown", set(tensors) - set(wanted))):
        if keys:
            raise bad(folder, f"{problem} weights ({_some(sorted(keys))})", "Use the weights that fit its config.json")
    for key, like in wanted.items():
        value = tensors[key]
        if value.shape != like.shape:
            shapes = f"{list(value.shape)}, not {list(like.shape)}"
            raise bad(folder, f"has {key} of shape {shapes}", "Use the weights that fit its config.json")
        if not value.is_floating_point():
            raise bad(folder, f"has {key} in {value.dtype}", "Use floating-point weights")


def _write_shards(folder: Path, tensors: Mapping[str, Tensor], stem: str) -> None:
    """Write tensors in shards of at most SHARD_BYTES (a larger tensor has one to itself) and their index."""
    shards: list[dict[str, Tensor]] = [{}]
    room = SHARD_BYTES - 2**16  # for the header
    filled = 0
    for key, value in tensors.items():
        size = value.numel() * value.element_size()
        if filled and filled + size > room:
            shards.append({})
            filled = 0
        shards[-1][key] = value
        filled += size
    where = {}
    for i, shard in enumerate(shards):
        name = f"{stem}-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, name)
    total = sum(v.numel() * v.element_size() for v in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
