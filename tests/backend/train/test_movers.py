"""What moves: seen where it is, gone where it goes, and changing nothing of what stands still."""

from dataclasses import replace

import numpy as np
import pytest

from farplane.backend.train.cameras import look, random_path
from farplane.backend.train.data import render_clip
from farplane.backend.train.landforms import CELLS
from farplane.backend.train.light import make_wind
from farplane.backend.train.materials import FIGURE, GROUND, TREE, VEHICLE
from farplane.backend.train.motion import scene_flow, world_points
from farplane.backend.train.movers import Movers
from farplane.backend.train.raymarch import blockout_depth, exact_depth, render, trace_surfaces
from farplane.backend.train.solids import BLOCK, LIMB, WHEEL
from farplane.backend.train.traffic import _Mover, assembled
from farplane.backend.train.world import Attributes, World, make_world

SIZE = (83, 57)
K = np.array([[60.0, 0, 41.2], [0, 61.0, 28.9], [0, 0, 1]])


def plain(movers=None, crown=None, height=None, weather="clear"):
    """Flat ground of 64 m."""
    height = np.zeros((256, 256), np.float32) if height is None else height
    flat = np.zeros((256, 256), np.float32)
    mark = np.full(height.shape, GROUND if crown is None else TREE, np.uint8)
    return World(
        0, Attributes("hills", "noon", weather, "summer"), 64.0, height, height, mark, np.zeros_like(mark), False, flat,
        np.zeros((512, 512), np.float32), 0.5, None, crown, movers,
    )  # fmt: skip


def solid(shape, size, start, heading=0.0, speed=0.0, joint=(0.0, 0.0, 1.0), swing=(0.0, 0.0, 0.0, 0.0)):
    """One mover of one part."""
    one = np.ones(1)
    return Movers(
        np.array([VEHICLE], np.uint8), np.array([start], float), 0 * one, heading * one, speed * one, 1e9 * one, one,
        np.array([[1.5, 1.5, 1.0]]), np.array([True]), np.array([0]), np.array([-1]), np.array([joint], float),
        np.array([swing], float), np.array([shape]), np.array([[*size, *[0.0] * (6 - len(size))]]), np.full((1, 4), 0.5),
    )  # fmt: skip


def views(count=1, at=(30.0, 24.0, 1.9)):
    pose = look(np.array(at), np.pi / 2, -0.08, 0.1)
    return np.repeat(K[None], count, 0), np.repeat(pose[None], count, 0)


def rays(pose):
    v, u = np.meshgrid(np.arange(SIZE[1]) + 0.5, np.arange(SIZE[0]) + 0.5, indexing="ij")
    d = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T @ pose[:3, :3].T
    return d, np.broadcast_to(pose[:3, 3], d.shape)


def inside_block(p, half):
    return (np.abs(p) <= half).all(-1)


def inside_limb(p, radius, length):
    nearest = np.stack([0 * p[..., 0], 0 * p[..., 0], np.clip(p[..., 2], -length, 0)], -1)
    return np.linalg.norm(p - nearest, axis=-1) <= radius


def inside_wheel(p, radius, half):
    return (np.hypot(p[..., 0], p[..., 2]) <= radius) & (np.abs(p[..., 1]) <= half)


@pytest.mark.parametrize(
    ("shape", "size", "inside"),
    [
        (BLOCK, (1.2, 0.7, 0.5, 1.2, 0.0, 0.7), lambda p: inside_block(p, (1.2, 0.7, 0.5))),
        # A block whose top is shorter and moved back: its half length falls evenly from 1.2 to 0.6 around 0 … -0.3.
        (
            BLOCK, (1.2, 0.7, 0.5, 0.6, -0.3, 0.4),
            lambda p: (np.abs(p[..., 2]) <= 0.5)
            & (np.abs(p[..., 0] + 0.3 * (p[..., 2] + 0.5)) <= 1.2 - 0.6 * (p[..., 2] + 0.5))
            & (np.abs(p[..., 1]) <= 0.7 - 0.3 * (p[..., 2] + 0.5)),
        ),
        (LIMB, (0.4, 0.7), lambda p: inside_limb(p, 0.4, 0.7)),
        (WHEEL, (0.8, 0.3), lambda p: inside_wheel(p, 0.8, 0.3)),
    ],
    ids=["block", "sloping", "limb", "wheel"],
)  # fmt: skip
def test_a_solid_is_where_its_formula_says(shape, size, inside):
    world = plain(solid(shape, size, (30.3, 28.0, 0.1), heading=0.6, swing=(0.35, 0, 0, 0)))
    Ks, pose = views()
    got = trace_surfaces(world, Ks, pose, *SIZE)
    d, origin = rays(pose[0])
    frame = world.movers.part_poses(np.zeros(1))[0, 0]
    seen = got.part[0] == 0
    assert seen.sum() > 100
    # March each ray in millimetres through the formula of the shape's inside.
    z = np.arange(2.0, 8.0, 0.002)
    hit = np.full(seen.shape, np.inf)
    for row in range(SIZE[1]):
        points = origin[row, :, None] + d[row, :, None] * z[:, None]
        local = (points - frame[:3, 3]) @ frame[:3, :3]
        found = inside(local)
        hit[row] = np.where(found.any(1), z[np.argmax(found, 1)], np.inf)
    ground = np.where(d[..., 2] < 0, 1.9 / np.maximum(-d[..., 2], 1e-9), np.inf)
    edge = np.isfinite(hit) != seen
    assert edge.sum() <= 0.02 * seen.sum() + 2  # rays that graze an edge between two steps of 2 mm
    both = seen & np.isfinite(hit) & (hit < ground)
    np.testing.assert_allclose(got.depth[0][both], hit[both], atol=0.004)
    assert (got.material[0][seen] == VEHICLE).all()
    normal = got.normal[0][seen]
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1.0, atol=1e-5)
    assert ((normal * d[seen]).sum(-1) < 1e-6).all()  # towards the eye
    # A step of a millimetre along the normal leaves the solid, one back enters it.
    p = origin[seen] + d[seen] * got.depth[0][seen][:, None]
    out, back = (((p + side * 0.003 * normal) - frame[:3, 3]) @ frame[:3, :3] for side in (1, -1))
    assert not inside(out).any()
    assert inside(back).mean() > 0.97  # but at edges


def test_a_ball_moves_as_it_is_told():
    world = plain(solid(LIMB, (0.7, 0.0), (28.0, 30.0, 0.3), heading=0.5, speed=3.0))
    Ks, pose = views(5)
    got = trace_surfaces(world, Ks, pose, *SIZE, 0.1)
    d, origin = rays(pose[0])
    for f in range(5):
        centre = np.array([28.0, 30.0, 1.3]) + 0.3 * f * np.array([np.cos(0.5), np.sin(0.5), 0.0])
        off = origin - centre
        a, b, c = (d * d).sum(-1), (off * d).sum(-1), (off * off).sum(-1) - 0.49
        hit = b * b > a * c * 1.0
        with np.errstate(invalid="ignore"):
            z = (-b - np.sqrt(b * b - a * c)) / a
        sure = np.abs(b * b - a * c) > 1e-3
        np.testing.assert_array_equal((got.part[f] == 0)[sure], hit[sure])
        np.testing.assert_allclose(got.depth[f][hit & sure], z[hit & sure], rtol=2e-6)  # float32
        flow = scene_flow(world, got, Ks, pose, f, 0.9)
        expected = (0.9 - 0.1 * f) * 3.0 * np.array([np.cos(0.5), np.sin(0.5), 0.0])
        np.testing.assert_allclose(flow[got.part[f] == 0] - expected, 0.0, atol=1e-9)
        assert (flow[got.part[f] < 0] == 0).all()
    assert (exact_depth(world, Ks[:2], pose[:2], *SIZE, 0.1, first=2) == got.depth[2:4]).all()


def test_the_flow_of_limbs_and_wheels_lands_on_their_surfaces():
    movers = assembled(
        np.random.default_rng(2),
        [_Mover(FIGURE, (29.0, 27.5, 0.0), 0.2, 1.4, 9.0), _Mover(VEHICLE, (31.5, 31.0, 0.0), 2.9, 6.0, 30.0)],
    )
    world = plain(movers)
    Ks, pose = views(2)
    got = trace_surfaces(world, Ks, pose, *SIZE, 0.25)
    assert set(np.unique(got.mover(world)[0])) == {-1, 0, 1}
    assert {FIGURE, VEHICLE} <= set(np.unique(got.material[0]))
    flow = scene_flow(world, got, Ks, pose, 0, 0.25)
    points = world_points(got.depth[0], K, pose[0]) + flow
    local = (points - pose[1][:3, 3]) @ pose[1][:3, :3]
    with np.errstate(invalid="ignore", divide="ignore"):
        u, v = (local / local[..., 2:] @ K.T)[..., :2].transpose(2, 0, 1)
    moving = got.part[0] >= 0
    assert np.linalg.norm(flow[moving], axis=-1).max() > 1.0  # 6 m/s for a quarter of a second
    inside = moving & (u > 0) & (u < SIZE[0]) & (v > 0) & (v < SIZE[1])
    a, b = v[inside].astype(int), u[inside].astype(int)
    same = got.part[1][a, b] == got.part[0][inside]
    assert same.mean() > 0.7  # parts turn away and hide one another, and pixels are large here
    off = np.abs(got.depth[1][a, b] - local[inside][:, 2])[same]
    assert np.percentile(off, 90) < 0.08  # half a pixel at 7 m on a sloping side


def test_trees_bend_and_the_flow_says_where_to():
    n, extent = 256, 64.0
    y, x = np.mgrid[:n, :n] * (extent / n)
    tall = 6.0 * np.exp(-((x - 30.0) ** 2 + (y - 33.0) ** 2) / 8.0)  # one round tree
    crown = np.round(tall / 0.25).astype(np.uint8)
    world = plain(crown=crown, height=tall.astype(np.float32), weather="storm")
    wind = np.array(make_wind(world.attributes, 0))
    assert 0.02 < np.hypot(*wind) < 0.1
    Ks, pose = views(9, at=(30.0, 22.0, 3.0))
    got = trace_surfaces(world, Ks, pose, *SIZE, 0.2)
    assert (got.depth[0] != got.depth[4]).any()
    flow = scene_flow(world, got, Ks, pose, 0, 0.8)
    top = np.isfinite(got.depth[0]) & (np.linalg.norm(flow, axis=-1) > 0)
    p, q = world_points(got.depth[0], K, pose[0])[top], (world_points(got.depth[0], K, pose[0]) + flow)[top]
    assert (flow[top][:, 2] == 0).all()
    assert 0.05 < np.abs(flow).max() < 0.6  # 6 m of a tree, 6% a metre, a gust between none and all of it

    def wave(turns):
        u = turns % 1.0  # two parabolas between zeros at 0, 1/2 and 1
        return np.where(u < 0.5, 16 * u * (0.5 - u), -16 * (u - 0.5) * (1 - u))

    def lean(point, t):
        """The formula, with the crown's height taken between cells."""
        gust = (
            0.5 + 0.3 * wave(0.27 * t - 0.018 * point[:, 0] + 0.011 * point[:, 1])
            + 0.2 * wave(0.73 * t + 0.049 * point[:, 0] + 0.068 * point[:, 1])
        )  # fmt: skip
        a, b = point[:, 0] / 0.25, point[:, 1] / 0.25
        i, j = np.floor(b).astype(int), np.floor(a).astype(int)
        c, r = a - j, b - i
        high = 0.25 * (
            (crown[i, j] * (1 - c) + crown[i, j + 1] * c) * (1 - r)
            + (crown[i + 1, j] * (1 - c) + crown[i + 1, j + 1] * c) * r
        )
        nearest = crown[np.floor(b + 0.5).astype(int), np.floor(a + 0.5).astype(int)] > 0
        return (gust * high * nearest)[:, None] * wind

    # The same leaf in still air: the point less its bend at either time.
    apart = np.abs((p[:, :2] - lean(p, 0.0)) - (q[:, :2] - lean(q, 0.8))).max(-1)
    assert (apart < 1e-4).mean() > 0.998  # crowns are float32 between cells, and end at a cell's edge
    # And the bent surface stands over both points as high as they are.
    still = replace(world, crown=None)
    rest = p[:, :2] - lean(p, 0.0)
    under = 6.0 * np.exp(-((rest[:, 0] - 30.0) ** 2 + (rest[:, 1] - 33.0) ** 2) / 8.0)
    assert np.percentile(np.abs(under - p[:, 2]), 95) < 0.03  # bilinear cells and the march's last bracket
    np.testing.assert_array_equal(
        exact_depth(still, Ks[:1], pose[:1], *SIZE), exact_depth(still, Ks[:1], pose[:1], *SIZE, first=7)
    )


@pytest.mark.parametrize("kind", ["city", "village", "ruins", "interior"])
def test_movers_change_nothing_that_stands(kind):
    seed = next(s for s in range(3, 40) if make_world(s, Attributes(kind, "noon", "clear", "summer")).movers)
    world = make_world(seed, Attributes(kind, "noon", "clear", "summer"))
    bare = replace(world, movers=None)
    path, other = (random_path(w, seed, 2, *SIZE) for w in (world, bare))
    np.testing.assert_array_equal(path.world_from_camera, other.world_from_camera)
    view = (path.K, path.world_from_camera, *SIZE)
    depth, without = exact_depth(world, *view), exact_depth(bare, *view)
    with np.errstate(invalid="ignore"):
        assert not (depth > without).any()  # something stands before, or nothing
    part = trace_surfaces(world, *view).part
    np.testing.assert_array_equal(part >= 0, depth != without)
    box, nobox = blockout_depth(world, *view), blockout_depth(bare, *view)
    assert not (box > nobox).any()


def test_people_and_cars_stand_on_free_ground():
    for kind in ("city", "village", "ruins", "interior"):
        for seed in range(4):
            world = make_world(seed, Attributes(kind, "noon", "clear", "summer"))
            movers = world.movers
            if movers is None:
                continue
            cell = world.extent / CELLS
            for seconds in (0.0, 1.4):
                x, y, z = movers.positions(np.array([seconds]))[0].T
                row, col = (np.floor(v / cell + 0.5).astype(int) % CELLS for v in (y, x))
                # A car crosses a pavement's edge of 15 cm nowhere, a path is even to 45 cm; nothing is walked into.
                assert np.mean(np.abs(world.height[row, col] - z) < 0.5) > 0.98, (kind, seed)


def test_the_feet_of_a_figure_stay_by_the_ground_and_its_head_above():
    movers = assembled(np.random.default_rng(5), [_Mover(FIGURE, (0.0, 0.0, 0.0), 0.0, 1.3, 50.0)])
    times = np.linspace(0, 3, 61)
    z = movers.part_poses(times)[..., 2, 3]
    foot = np.array([s == BLOCK and p >= 0 for s, p in zip(movers.shape, movers.parent)])
    assert foot.sum() == 2
    assert -0.03 < z[:, foot].min() < 0.12
    assert z[:, foot].max() < 0.5
    assert np.ptp(z[:, foot]) > 0.05  # steps
    assert 1.3 < z.max() < 1.95
    x = movers.part_poses(times)[..., 0, 3]
    np.testing.assert_allclose(x.mean(1) - x.mean(1)[0], 1.3 * times, atol=0.15)


def test_a_walker_stops_at_the_end_of_its_way_and_nobody_walks_into_the_lens():
    movers = assembled(np.random.default_rng(5), [_Mover(FIGURE, (3.0, 4.0, 0.0), 0.0, 1.0, 2.0)])
    np.testing.assert_allclose(movers.positions(np.array([0.0, 1.0, 2.0, 9.0]))[:, 0, 0], [3, 4, 5, 5])
    np.testing.assert_array_equal(*movers.part_poses(np.array([2.0, 9.0])))
    eyes = np.array([[5.5, 4.0, 1.6], [30.0, 4.0, 1.6]])
    assert len(movers.clear_of(eyes, np.array([2.0, 2.0]), 64.0)) == 0
    assert len(movers.clear_of(eyes + 10.0, np.array([2.0, 2.0]), 64.0)) == 1
    assert len(movers.clear_of(eyes + [64.0, -64.0, 0.0], np.array([2.0, 2.0]), 64.0)) == 0  # the world repeats


def test_a_mover_darkens_the_ground_beside_it():
    movers = assembled(np.random.default_rng(2), [_Mover(VEHICLE, (30.0, 30.0, 0.0), 0.3, 0.0, 0.0)])
    Ks, pose = views(1, at=(30.0, 22.0, 4.0))
    with_car, without = (render(plain(m), Ks, pose, *SIZE, 1)[0] for m in (movers, None))
    ground = trace_surfaces(plain(movers), Ks, pose, *SIZE).material[0] == GROUND
    darker = (with_car[ground] < 0.6 * without[ground]).all(-1)
    assert 0.005 < darker.mean() < 0.3
    assert (with_car[ground] <= without[ground] + 1e-6).all()


def test_a_clip_names_what_is_seen():
    seen = {}
    for seed in range(400, 416):
        clip = render_clip(seed, 3, 64, 36, attributes=Attributes("city", "noon", "clear", "summer"), exact=True)
        seen[seed] = clip.seen
        assert not clip.seen or clip.world.movers is not None
    assert any("cars" in names for names in seen.values())
    assert any("people" in names for names in seen.values())
    assert any(not names for names in seen.values())
    seed = next(seed for seed, names in seen.items() if names)
    wanted = Attributes("city", "noon", "clear", "summer")
    full, still = (render_clip(seed, 3, 64, 36, attributes=wanted, exact=True, moving=m) for m in (True, False))
    assert (still.exact >= 0.999 * full.exact).mean() > 0.98  # trees by the kerb bend
    assert (still.exact > full.exact).any()
    assert still.seen == ()
    np.testing.assert_array_equal(full.camera.world_from_camera, still.camera.world_from_camera)
