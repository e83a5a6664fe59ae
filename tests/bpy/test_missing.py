"""addon/missing.py: every kind of file that a scene can miss is named, and none that is there or is not used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.missing import _frame_numbers, in_words, missing  # noqa: E402


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    return bpy.context.scene


def picture(path: Path) -> Path:
    """A real picture of four pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = bpy.data.images.new("scratch", 2, 2)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


def textured(scene: Any, image: Any, name: str = "tiles") -> Any:
    """A triangle whose material shows the image; the node."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    mesh.materials.append(material)
    scene.collection.objects.link(bpy.data.objects.new(name, mesh))
    return node


def loaded(path: Path) -> Any:
    """An image whose file is there while it is loaded."""
    image = bpy.data.images.load(str(picture(path)))
    assert image.size[0] == 2
    return image


def names(scene: Any, frames: Any = ()) -> list[str]:
    return [str(wanted) for wanted in missing(scene, frames)]


def test_a_texture(scene: Any, tmp_path: Path) -> None:
    image = loaded(tmp_path / "wood.png")
    image.filepath = "//wood.png"
    textured(scene, image)
    assert names(scene) == []
    (tmp_path / "wood.png").unlink()
    assert names(scene) == ["wood.png (image wood.png)"]
    assert in_words(missing(scene)) == "1 file is missing: wood.png (image wood.png)"


def test_what_is_packed_made_here_or_not_used_is_not_missed(scene: Any, tmp_path: Path) -> None:
    packed = loaded(tmp_path / "packed.png")
    packed.pack()
    textured(scene, packed, "packed")
    textured(scene, bpy.data.images.new("made here", 4, 4), "made here")
    loaded(tmp_path / "unused.png").use_fake_user = True
    other = bpy.data.scenes.new("other")
    textured(other, loaded(tmp_path / "others.png"), "others")
    for name in ("packed", "unused", "others"):
        (tmp_path / f"{name}.png").unlink()
    assert names(scene) == []
    assert names(other) == ["others.png (image others.png)"]
    scene.background_set = other
    assert names(scene) == ["others.png (image others.png)"]


def test_in_a_node_group_and_in_the_world(scene: Any, tmp_path: Path) -> None:
    group = bpy.data.node_groups.new("inside", "ShaderNodeTree")
    group.nodes.new("ShaderNodeTexImage").image = loaded(tmp_path / "inside.png")
    node = textured(scene, None)
    material = bpy.data.materials["tiles"]
    material.node_tree.nodes.new("ShaderNodeGroup").node_tree = group
    assert node.image is None
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes.new("ShaderNodeTexEnvironment").image = loaded(tmp_path / "sky.png")
    for name in ("inside.png", "sky.png"):
        (tmp_path / name).unlink()
    assert names(scene) == ["inside.png (image inside.png)", "sky.png (image sky.png)"]


def test_a_hole_in_a_sequence(scene: Any, tmp_path: Path) -> None:
    """The files that the shot's frames show, by the node's own start, offset and length."""
    for number in range(1, 9):
        picture(tmp_path / "fire" / f"fire.{number:04d}.png")
    image = bpy.data.images.load(str(tmp_path / "fire" / "fire.0001.png"))
    image.source = "SEQUENCE"
    node = textured(scene, image)
    node.image_user.frame_start, node.image_user.frame_duration, node.image_user.frame_offset = 11, 8, 0
    node.image_user.use_auto_refresh = True
    (tmp_path / "fire" / "fire.0005.png").unlink()
    assert names(scene, range(11, 15)) == []
    assert names(scene, range(11, 16)) == ["fire.0005.png (image fire.0001.png)"]
    node.image_user.frame_offset = 2
    assert names(scene, range(11, 14)) == ["fire.0005.png (image fire.0001.png)"]
    assert names(scene, range(14, 17)) == []
    assert names(scene, [17]) == ["fire.0009.png (image fire.0001.png)"]
    # As Blender 5.0 rendered eleven numbered files: before the start it wants number 0, which it draws in pink.
    for first, length, offset, cyclic, numbers in (
        (5, 4, 2, False, (2, 2, 3, 4, 6, 6)),
        (5, 4, 0, True, (4, 1, 1, 2, 1, 4)),
        (3, 4, 1, True, (3, 4, 4, 5, 4, 3)),
    ):
        user = node.image_user
        user.frame_start, user.frame_duration, user.frame_offset, user.use_cyclic = first, length, offset, cyclic
        assert tuple(_frame_numbers(user)(frame) for frame in (0, 1, 5, 6, 9, 12)) == numbers


def test_a_tile_of_a_udim(scene: Any, tmp_path: Path) -> None:
    for tile in (1001, 1002, 1011):
        picture(tmp_path / f"skin.{tile}.png")
    image = bpy.data.images.load(str(tmp_path / "skin.1001.png"))
    image.source = "TILED"
    image.filepath = str(tmp_path / "skin.<UDIM>.png")
    for tile in (1002, 1011):
        if tile not in [one.number for one in image.tiles]:
            image.tiles.new(tile)
    textured(scene, image)
    assert names(scene) == []
    (tmp_path / "skin.1011.png").unlink()
    assert names(scene) == [f"skin.1011.png (image {image.name})"]


def test_libraries_and_what_they_have_lost(scene: Any, tmp_path: Path) -> None:
    """A library that is gone is one line, whatever it held; one that is there and has lost an object names the object."""
    for name in ("hero", "car"):
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
        bpy.data.libraries.write(str(tmp_path / f"{name}.blend"), {bpy.data.objects.new(name, mesh)})
        bpy.data.objects.remove(bpy.data.objects[name])
        bpy.data.meshes.remove(mesh)
        with bpy.data.libraries.load(str(tmp_path / f"{name}.blend"), link=True, relative=True) as (_, into):
            into.objects = [name]
        scene.collection.objects.link(into.objects[0])
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    assert names(scene) == []
    (tmp_path / "hero.blend").unlink()
    bpy.data.libraries.write(str(tmp_path / "car.blend"), {bpy.data.meshes.new("nothing")})
    bpy.ops.wm.open_mainfile(filepath=path)
    assert names(bpy.context.scene) == ["object car of car.blend", "hero.blend (library)"]


def test_caches_volumes_fonts_and_clips(scene: Any, tmp_path: Path) -> None:
    text = bpy.data.curves.new("title", "FONT")
    scene.collection.objects.link(bpy.data.objects.new("title", text))
    assert names(scene) == []  # Blender's own font
    volume = bpy.data.volumes.new("smoke")
    scene.collection.objects.link(bpy.data.objects.new("smoke", volume))
    volume.filepath = "//smoke.vdb"
    cached = bpy.data.objects.new("cached", bpy.data.meshes.new("cached"))
    scene.collection.objects.link(cached)
    cached.modifiers.new("cache", "MESH_CACHE").filepath = "//cache.mdd"
    assert names(scene) == ["cache.mdd (object cached)", "smoke.vdb (volume smoke)"]
    for name in ("cache.mdd", "smoke.vdb"):
        (tmp_path / name).touch()
    assert names(scene) == []


def test_an_alembic_cache(scene: Any, tmp_path: Path) -> None:
    mesh = bpy.data.meshes.new("flag")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    flag = bpy.data.objects.new("flag", mesh)
    scene.collection.objects.link(flag)
    flag.shape_key_add(name="basis")
    path = tmp_path / "flag.abc"
    bpy.ops.wm.alembic_export(filepath=str(path), start=1, end=2)
    bpy.data.objects.remove(flag)
    bpy.ops.wm.alembic_import(filepath=str(path), relative_path=True, always_add_cache_reader=True)
    assert names(scene) == []
    os.unlink(path)
    assert [name.split(" ")[0] for name in names(scene)] == ["flag.abc"]
