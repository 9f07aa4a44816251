"""Whether a profile allows a state that was found on a disk (KVS-POWER-2)."""

from __future__ import annotations

from collections.abc import Mapping

from faultinject.persistence.blocks import Fate, FileSpace, Option
from faultinject.persistence.contents import allowed_sizes, held_back_by
from faultinject.persistence.machine import Machine, NodeKind
from faultinject.persistence.pieces import same


def allows(machine: Machine, found: Mapping[str, bytes | None]) -> bool:
    """Whether a loss of power at this moment may leave these paths with these contents; None is for what is no file."""
    for names in machine.names.choices():
        paths = machine.paths(names)
        if paths.keys() == found.keys() and all(
            _node_allows(machine, machine.space_in(node, names), node, found[path]) for path, node in paths.items()
        ):
            return True
    return False


def _node_allows(machine: Machine, space: FileSpace | None, node: int, content: bytes | None) -> bool:
    if machine.nodes[node].kind is not NodeKind.FILE or space is None:
        return content is None
    return content is not None and any(_content_allows(one, content) for one in [*space.earlier, space])


def _content_allows(space: FileSpace, content: bytes) -> bool:
    size_bytes = len(content)
    if size_bytes not in allowed_sizes(space):
        return False
    held = held_back_by(space, size_bytes)
    for start in range(0, size_bytes, space.block_bytes):
        block = content[start : start + space.block_bytes]
        index = start // space.block_bytes
        options = space.blocks[index].options if index < len(space.blocks) else [Option(Fate.ZEROS)]
        if not any(_is(option, block) for option in options if index != held or not option.is_lost):
            return False
    return True


def _is(option: Option, block: bytes) -> bool:
    if option.fate is Fate.STALE:
        return True  # whatever the device held
    pieces = b"".join(option.pieces)[: len(block)]
    return same((pieces,), (block,))
