"""What a pass changes of the materials in the dependency graph of its own render (evaluation.py).

All that is changed here is what the graph has made of the artist's materials: it ends with the render, whatever comes
in between, and has no part in the file, its undo steps or the viewport.  Node groups, linked materials, instances and
what geometry nodes bring along are reached alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

UNTOLD = 29_917  # the material index of surfaces whose colour nobody knows

_IMAGES = ("ShaderNodeTexImage", "ShaderNodeTexEnvironment")
_TINTS = ("Specular Tint", "Sheen Tint", "Coat Tint", "Emission Color", "Emission")  # colours that are not the base's
_MIXES = ("ShaderNodeMixShader", "ShaderNodeAddShader")
# How files begin that bear these names: another beginning is a damaged file, or what git leaves in place of a large one.
_PICTURES = (".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".hdr", ".webp", ".bmp", ".dpx")
_BEGINNINGS = (
    b"\x89PNG", b"\xff\xd8", b"v/1\x01", b"II*\0", b"II+\0", b"MM\0*", b"MM\0+", b"#?", b"RIFF", b"BM", b"SDPX", b"XPDS",
    b"GIF8", b"8BPS", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51", b"\x80\x2a\x5f\xd7", b"\x01\xda",
)  # fmt: skip


def without_volumes(depsgraph: bpy.types.Depsgraph) -> None:
    """Let light and the camera's rays pass through every volume of a material; its surface, if it has one, stays.

    A volume at one sample ends some rays before they reach a surface, at random, so that the depth would have holes.
    """
    for material in _materials(depsgraph):
        for tree, output in _outputs(material):
            volume = output.inputs["Volume"]
            if all(link.is_muted for link in volume.links):
                continue
            for link in list(volume.links):
                tree.links.remove(link)
            if not output.inputs["Surface"].is_linked:
                # An Add Shader of nothing: no volume, and no surface either, through which rays pass as often as it
                # takes.  A Transparent BSDF would use up the transparent bounces, with none linked it would be black.
                tree.links.new(tree.nodes.new("ShaderNodeAddShader").outputs[0], volume)


def only_solid(depsgraph: bpy.types.Depsgraph) -> None:
    """Hide objects of which the camera sees no surface, as far as objects can tell: Workbench draws them all."""
    for thing in [block for block in depsgraph.ids if isinstance(block, bpy.types.Object)]:
        materials = [slot.material for slot in thing.material_slots]
        is_fog = bool(materials) and all(material is not None and _is_fog(material) for material in materials)
        if is_fog or thing.type == "VOLUME" or not thing.visible_camera or thing.is_holdout:
            thing.hide_render = True


def mark_untold(depsgraph: bpy.types.Depsgraph) -> None:
    """Give materials whose colour hangs on an image that cannot be read the index UNTOLD, all others 0.

    Cycles renders such an image in pink, and tells nobody.
    """
    materials = _materials(depsgraph)
    groups = [block for block in depsgraph.ids if isinstance(block, bpy.types.ShaderNodeTree)]
    lost = {node for tree in (*groups, *(one.node_tree for one in materials)) for node in tree.nodes if _is_lost(node)}
    for material in materials:
        material.pass_index = UNTOLD if lost and _hangs_on(material, lost) else 0


def is_readable(image: Any, user: Any) -> bool:
    """Whether an image that a node shows can be read, as far as the disk tells; `user` says which frame of it."""
    if image is None or image.is_missing:
        return False
    if image.source in ("GENERATED", "VIEWER") or image.packed_file is not None or len(image.packed_files) > 0:
        return True
    if image.is_dirty:  # painted or changed: Blender's own pixels are shown
        return True
    return all(_is_file(path) for path in _paths(image, user))


def _materials(depsgraph: bpy.types.Depsgraph) -> list[Any]:
    """The graph's materials that have nodes."""
    found = [block for block in depsgraph.ids if isinstance(block, bpy.types.Material)]
    return [material for material in found if material.node_tree is not None and material.use_nodes]


def _outputs(material: Any) -> list[tuple[Any, Any]]:
    """(tree, output node) for each of a material's outputs; Cycles looks at the top level only."""
    tree = material.node_tree
    return [(tree, node) for node in tree.nodes if node.bl_idname == "ShaderNodeOutputMaterial"]


def _is_fog(material: Any) -> bool:
    """Whether a material has a volume and no surface."""
    if material.node_tree is None or not material.use_nodes:
        return False
    inputs = [output.inputs for _, output in _outputs(material)]
    return any(i["Volume"].is_linked for i in inputs) and not any(i["Surface"].is_linked for i in inputs)


# -- images -----------------------------------------------------------------------------------------------------------


def _is_lost(node: Any) -> bool:
    """Whether a node shows an image that cannot be read."""
    return node.bl_idname in _IMAGES and not is_readable(node.image, node.image_user)


def _hangs_on(material: Any, lost: set[Any]) -> bool:
    """Whether the colour of a material hangs on one of these nodes."""
    seen: set[tuple[Any, ...]] = set()
    outputs = [output for _, output in _outputs(material)]
    return any(node in lost for output in outputs for node in _behind(output.inputs["Surface"], (), seen))


def _behind(socket: Any, groups: tuple[Any, ...], seen: set[tuple[Any, ...]]) -> Iterator[Any]:
    """The nodes that a socket's value may hang on, as far as they give colour.

    groups : the group nodes that the socket lies in, the outermost first.
    """
    for link in socket.links:
        key = (*groups, link.from_node, link.from_socket.identifier)
        if key in seen or link.is_muted:
            continue
        seen.add(key)
        node = link.from_node
        yield node
        if node.bl_idname == "ShaderNodeGroup" and node.node_tree is not None:
            for inner in node.node_tree.nodes:
                if inner.bl_idname == "NodeGroupOutput":
                    for one in inner.inputs:
                        if one.identifier == link.from_socket.identifier:
                            yield from _behind(one, (*groups, node), seen)
        elif node.bl_idname == "NodeGroupInput" and groups:
            for one in groups[-1].inputs:
                if one.identifier == link.from_socket.identifier:
                    yield from _behind(one, groups[:-1], seen)
        else:
            for one in node.inputs:
                if _gives_colour(node, one):
                    yield from _behind(one, groups, seen)


def _gives_colour(node: Any, socket: Any) -> bool:
    """Whether what a node's input is given shows in the colour of the surface: of a shader, its colours alone."""
    if not any(output.type == "SHADER" for output in node.outputs):
        return True
    if node.bl_idname in _MIXES or socket.type == "SHADER":
        return True
    return (socket.type == "RGBA" and socket.name not in _TINTS) or socket.name == "Metallic"


def _paths(image: Any, user: Any) -> Iterator[str]:
    if image.source == "TILED":
        folder = bpy.path.abspath(image.filepath, library=image.library)
        for tile in image.tiles:
            across, up = (tile.number - 1001) % 10, (tile.number - 1001) // 10
            yield folder.replace("<UDIM>", str(tile.number)).replace("<UVTILE>", f"u{across + 1}_v{up + 1}")
    elif image.source == "SEQUENCE":
        yield image.filepath_from_user(image_user=user)
    else:
        yield bpy.path.abspath(image.filepath, library=image.library)


def _is_file(path: str) -> bool:
    """Whether there is a file with something in it, which begins as a picture of its name does."""
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError:
        return False
    return bool(head) and (not path.lower().endswith(_PICTURES) or head.startswith(_BEGINNINGS))
