"""A texture that is not there leaves its surface's colour untold, never pink; what does not hang on it keeps its colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from own_render import SIZE, box, empty_scene, f12, output_of, paint, shot_of  # noqa: E402

from farplane.addon.contact import png  # noqa: E402

BRICK = (218, 89, 63)  # (.7, .1, .05) in the sRGB curve
SEEN = png(np.full((4, 4, 3), 90, np.uint8))  # a picture of one grey


@pytest.fixture
def scene() -> Any:
    """A house of brick on a ground whose colour is a texture."""
    scene = empty_scene()
    bpy.data.objects["ground"].data.materials.append(paint("grass"))
    box("house", 2, (0, 0, 1)).data.materials.append(paint("brick", (0.7, 0.1, 0.05)))
    return scene


def image(path: Path | str, source: str = "FILE") -> Any:
    made = bpy.data.images.new("wood", 4, 4)
    made.source, made.filepath = source, str(path)
    return made


def texture(tree: Any, picture: Any, socket: Any) -> Any:
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = picture
    tree.links.new(node.outputs["Color"], socket)
    return node


def base_of(name: str) -> tuple[Any, Any]:
    tree = bpy.data.materials[name].node_tree
    return tree, tree.nodes["Principled BSDF"].inputs["Base Color"]


def told(scene: Any, frames: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
    """Base colours of the shot, of the house and of the ground."""
    shot = shot_of(scene, colours=True)
    house = (SIZE[1] // 2, SIZE[0] // 2)
    assert shot.base_colour is not None
    return [{"house": shot.base_colour[i][house], "ground": shot.base_colour[i][-1, 0]} for i in frames]


def gone(tmp: Path) -> None:
    texture(*_wired(image(tmp / "gone.png")))


def _wired(picture: Any) -> tuple[Any, Any, Any]:
    tree, socket = base_of("grass")
    return tree, picture, socket


def no_image(tmp: Path) -> None:
    texture(*_wired(None))


def no_path(tmp: Path) -> None:
    texture(*_wired(image("")))


def empty_file(tmp: Path) -> None:
    (tmp / "empty.png").write_bytes(b"")
    texture(*_wired(image(tmp / "empty.png")))


def pointer_of_git(tmp: Path) -> None:
    (tmp / "lfs.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    texture(*_wired(image(tmp / "lfs.png")))


def not_a_picture(tmp: Path) -> None:
    (tmp / "text.png").write_text("no picture at all, but some words")
    texture(*_wired(image(tmp / "text.png")))


def one_tile(tmp: Path) -> None:
    """A UDIM of two tiles, of which the second is gone."""
    (tmp / "tile.1001.png").write_bytes(SEEN)
    made = image(tmp / "tile.<UDIM>.png", "TILED")
    made.tiles.new(1002)
    texture(*_wired(made))


def sequence(tmp: Path) -> None:
    """Of a sequence that counts from 5, frame 2 of the scene is there and frame 1 is not."""
    (tmp / "run.0006.png").write_bytes(SEEN)
    node = texture(*_wired(image(tmp / "run.0001.png", "SEQUENCE")))
    user = node.image_user
    user.frame_start, user.frame_offset, user.frame_duration, user.use_auto_refresh = 1, 4, 10, True


def in_a_group(tmp: Path) -> None:
    """Two groups deep, mixed with a plain colour."""
    tree, socket = base_of("grass")
    inner, outer = (bpy.data.node_groups.new(name, "ShaderNodeTree") for name in ("inner", "outer"))
    for group in (inner, outer):
        group.interface.new_socket("Color", in_out="OUTPUT", socket_type="NodeSocketColor")
    mix = inner.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    texture(inner, image(tmp / "gone.png"), next(i for i in mix.inputs if i.type == "RGBA"))
    inner.links.new(next(o for o in mix.outputs if o.type == "RGBA"), inner.nodes.new("NodeGroupOutput").inputs[0])
    for into, holds, end in ((outer, inner, None), (tree, outer, socket)):
        node = into.nodes.new("ShaderNodeGroup")
        node.node_tree = holds
        into.links.new(node.outputs[0], end or into.nodes.new("NodeGroupOutput").inputs[0])


def into_a_group(tmp: Path) -> None:
    """The texture goes into a group that holds the shader."""
    tree, _ = base_of("grass")
    group = bpy.data.node_groups.new("shader", "ShaderNodeTree")
    group.interface.new_socket("Color", in_out="INPUT", socket_type="NodeSocketColor")
    group.interface.new_socket("Shader", in_out="OUTPUT", socket_type="NodeSocketShader")
    shader = group.nodes.new("ShaderNodeBsdfPrincipled")
    group.links.new(group.nodes.new("NodeGroupInput").outputs[0], shader.inputs["Base Color"])
    group.links.new(shader.outputs[0], group.nodes.new("NodeGroupOutput").inputs[0])
    node = tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    tree.links.new(node.outputs[0], output_of(bpy.data.materials["grass"]).inputs["Surface"])
    texture(tree, image(tmp / "gone.png"), node.inputs[0])


def as_a_mask(tmp: Path) -> None:
    """It decides between two shaders."""
    tree, _ = base_of("grass")
    mix = tree.nodes.new("ShaderNodeMixShader")
    tree.links.new(tree.nodes["Principled BSDF"].outputs[0], mix.inputs[1])
    tree.links.new(tree.nodes.new("ShaderNodeBsdfDiffuse").outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output_of(bpy.data.materials["grass"]).inputs["Surface"])
    texture(tree, image(tmp / "gone.png"), mix.inputs[0])


MISSING = [
    gone, no_image, no_path, empty_file, pointer_of_git, not_a_picture, one_tile, in_a_group, into_a_group, as_a_mask,
]  # fmt: skip


@pytest.mark.parametrize("way", MISSING, ids=lambda way: way.__name__)
def test_the_surface_is_untold_and_others_are_told(scene: Any, tmp_path: Path, way: Any) -> None:
    way(tmp_path)
    (seen,) = told(scene)
    assert tuple(seen["ground"]) == (0, 0, 0, 0)
    assert tuple(seen["house"]) == (*BRICK, 255)


def test_blenders_own_render_of_it_is_pink(scene: Any, tmp_path: Path) -> None:
    """So that the cases above are what they are meant to be."""
    gone(tmp_path)
    scene.view_layers[0].use_pass_diffuse_color = True
    name = "DiffCol" if bpy.app.version < (5, 0) else "Diffuse Color"
    red, green, blue = f12(scene, 1, tmp_path, name)[name][:, -1, 0]
    assert green == 0
    assert min(red, blue) > 0.5


def test_a_frame_of_a_sequence_that_is_there_is_told(scene: Any, tmp_path: Path) -> None:
    sequence(tmp_path)
    missing, there = told(scene, (0, 1))
    assert tuple(missing["ground"]) == (0, 0, 0, 0)
    assert tuple(there["ground"]) == (90, 90, 90, 255)


def test_what_has_no_part_in_the_colour_may_be_gone(scene: Any, tmp_path: Path) -> None:
    """Roughness, bumps, the light it sends, and a node that leads nowhere; and a picture that is packed."""
    tree, _ = base_of("brick")
    inputs = tree.nodes["Principled BSDF"].inputs
    for name in ("Roughness", "Coat Weight", "Alpha"):
        texture(tree, image(tmp_path / "gone.png"), inputs[name])
    bump = tree.nodes.new("ShaderNodeBump")
    texture(tree, image(tmp_path / "gone.png"), bump.inputs["Height"])
    tree.links.new(bump.outputs[0], inputs["Normal"])
    tree.nodes.new("ShaderNodeTexImage")
    packed = bpy.data.images.new("packed", 4, 4)
    packed.pixels = [90 / 255] * 64
    packed.pack()
    packed.filepath = str(tmp_path / "gone too.png")
    grass, socket = base_of("grass")
    texture(grass, packed, socket)
    (seen,) = told(scene)
    assert seen["house"][3] == 255
    assert tuple(seen["ground"]) == (90, 90, 90, 255)


def test_a_texture_of_a_linked_material(scene: Any, tmp_path: Path) -> None:
    """The material lies in a library, and its picture beside that: relative to it, not to the file that links it."""
    library = tmp_path / "assets" / "library.blend"
    library.parent.mkdir()
    (library.parent / "there.png").write_bytes(SEEN)
    materials = []
    for name, path in (("has", "//there.png"), ("lacks", "//gone.png")):
        material = paint(name)
        texture(material.node_tree, image(path), material.node_tree.nodes["Principled BSDF"].inputs["Base Color"])
        materials.append(material)
    bpy.data.libraries.write(str(library), set(materials), path_remap="NONE")
    for material in materials:
        bpy.data.materials.remove(material)
    with bpy.data.libraries.load(str(library), link=True) as (_, into):
        into.materials = ["has", "lacks"]
    bpy.data.objects["house"].data.materials[0] = bpy.data.materials["has"]
    bpy.data.objects["ground"].data.materials[0] = bpy.data.materials["lacks"]
    (seen,) = told(scene)
    assert tuple(seen["house"]) == (90, 90, 90, 255)
    assert tuple(seen["ground"]) == (0, 0, 0, 0)
