"""Backgrounds for the drawn photos: one function per scene, and a table of them."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tools.sample_painter.brush import (
    Brush,
    Chance,
    Color,
    Field,
    Linear,
    curve,
    darker,
    lighter,
    mix,
    moved,
    petal,
    ring,
)

Pixels = NDArray[np.float32]  # shape (height, width, 3), 0 to 255
Scene = Callable[[Chance, int, int, float], Image.Image]

SKIES: tuple[tuple[Color, Color], ...] = (
    ((58, 124, 200), (190, 220, 240)),
    ((96, 160, 222), (226, 236, 240)),
    ((132, 150, 168), (206, 212, 216)),
    ((72, 92, 150), (248, 190, 140)),
    ((120, 130, 190), (252, 214, 190)),
    ((36, 82, 150), (150, 196, 230)),
)
LEAVES: tuple[Color, ...] = ((70, 110, 48), (96, 138, 60), (52, 92, 58), (128, 150, 70))


def _blend(field: Field, low: Color, high: Color) -> Pixels:
    """Color a field: `low` where it is 0, `high` where it is 1."""
    a, b = np.array(low, np.float32), np.array(high, np.float32)
    return a + (b - a) * field[..., None]


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _down(width: int, height: int) -> Field:
    """Return a field that rises from 0 at the top to 1 at the bottom."""
    rows = np.linspace(0, 1, height, dtype=np.float32)
    return np.repeat(rows[:, None], width, axis=1)


def _over(picture: Image.Image, layer: Image.Image, blur: float = 0.0) -> Image.Image:
    """Paint an RGBA layer over a picture, blurred by `blur` pixels."""
    if blur:
        layer = layer.filter(ImageFilter.GaussianBlur(blur))
    picture.paste(layer, (0, 0), layer)
    return picture


def sky(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint a sky, clear or clouded."""
    top, bottom = c.pick(SKIES)
    pixels = _blend(np.clip(_down(w, h) / max(horizon, 0.3), 0, 1), c.tint(top), c.tint(bottom))
    cover = c.between(0.35, 0.75)
    clouds = np.clip((c.clouds(w, h, 3, 4, 5) - cover) / 0.3, 0, 1) * c.between(0.4, 0.9)
    white = np.array(lighter(bottom, 0.6), np.float32)
    return _image(pixels + (white - pixels) * clouds[..., None])


def _hills(c: Chance, brush: Brush, w: int, h: int, y: float, color: Color, rise: float) -> None:
    """Paint a rolling ridge whose foot is at the row `y`."""
    xs = np.linspace(-0.1 * w, 1.1 * w, 9)
    ridge = curve([(x, y - h * c.between(0, rise)) for x in xs], closed=False)
    shape = np.vstack((ridge, [(1.1 * w, h), (-0.1 * w, h)]))
    brush.polygon(shape, Linear((0, y - rise * h), (0, y + 0.2 * h), (lighter(color, 0.2), color)))


def sea(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint open water under a sky."""
    picture = sky(c, w, h, horizon)
    row = round(h * horizon)
    coast = Brush(w, h)
    if c.happens(0.6):
        _hills(
            c,
            coast,
            w,
            h,
            row + 2,
            c.pick(((104, 128, 150), (90, 110, 100), (128, 134, 140))),
            0.09,
        )
    if c.happens(0.4):
        for _ in range(c.whole(1, 5)):
            x, y, s = c.between(0, w), c.between(0.05, 0.6) * row, c.between(3, 7)
            coast.line([(x - s, y - s / 3), (x, y), (x + s, y - s / 2)], 1.2, (60, 66, 76))
    _over(picture, coast.image(), 0.6)
    near = c.pick(((20, 62, 104), (24, 88, 110), (52, 78, 92), (16, 104, 128)))
    deep = _blend(_down(w, h - row), mix(near, (210, 224, 232), 0.5), c.tint(near))
    waves = c.clouds(w, h - row, 5, 22, 3)
    ripple = (waves - 0.5) * 70 * (0.4 + _down(w, h - row))
    glitter = np.clip((waves - 0.72) * 6, 0, 1) * c.between(10, 110)
    picture.paste(_image(deep + (ripple + glitter)[..., None]), (0, row))
    return picture


def desert(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint dunes under a sky."""
    picture = sky(c, w, h, horizon)
    sand = c.tint(c.pick(((214, 178, 122), (196, 150, 96), (224, 198, 150))))
    brush = Brush(w, h)
    row = h * horizon
    _hills(c, brush, w, h, row, mix(sand, (190, 190, 200), 0.3), 0.05)
    for i in range(3):
        _hills(c, brush, w, h, row + h * 0.1 * (i + 0.6), darker(sand, c.between(0, 0.16)), 0.06)
    _over(picture, brush.image(), 0.7)
    pixels = np.asarray(picture, np.float32)
    rough = (c.clouds(w, h, 12, 40, 3) - 0.5) * 26 * (_down(w, h) > horizon)
    return _image(pixels + rough[..., None])


def meadow(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint a field with hills behind it, out of focus."""
    picture = sky(c, w, h, horizon)
    brush = Brush(w, h)
    row, green = h * horizon, c.tint(c.pick(LEAVES))
    _hills(c, brush, w, h, row, mix(green, (150, 176, 190), 0.5), 0.16)
    _hills(c, brush, w, h, row + 0.05 * h, darker(green, 0.25), 0.12)
    _hills(c, brush, w, h, row + 0.14 * h, green, 0.05)
    petals = c.tint(c.pick(((240, 220, 90), (240, 240, 240), (220, 90, 90), (190, 130, 210))))
    for _ in range(c.whole(0, 60)):
        y = c.between(horizon + 0.15, 1) * h
        r = 1 + 3 * (y / h - horizon)
        brush.ellipse(c.between(0, w), y, r, r * 0.7, c.tint(petals, 20))
    for _ in range(90):
        x, y, s = c.between(0, w), c.between(horizon + 0.2, 1.1) * h, c.between(8, 22)
        blade = [(x, y), (x + c.between(-5, 5), y - s)]
        brush.line(blade, 1.3, c.tint(lighter(green, c.between(0, 0.3)), 18))
    return _over(picture, brush.image(), c.between(0.5, 2))


def lawn(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint grass seen from above."""
    green = c.tint(c.pick(((74, 120, 46), (98, 142, 58), (60, 104, 54), (120, 140, 66))))
    pixels = _blend(c.clouds(w, h, 26, 14, 3), darker(green, 0.45), lighter(green, 0.2))
    if c.happens(0.4):  # mown in stripes
        slope = c.between(-0.6, 0.6)
        across = np.arange(w, dtype=np.float32)[None, :] + slope * np.arange(h)[:, None]
        pixels *= np.where(np.sin(across / c.between(10, 26)) > 0, 1.12, 0.92)[..., None]
    picture, brush = _image(pixels), Brush(w, h)
    for _ in range(260):
        x, y = c.between(0, w), c.between(0, 1.05) * h
        tip = (x + c.between(-5, 5), y - c.between(5, 13))
        brush.line([(x, y), tip], 1.1, c.tint(mix(darker(green), lighter(green), c.between(0, 1))))
    for _ in range(c.whole(0, 9) if c.happens(0.5) else 0):
        x, y, r = c.between(0, w), c.between(0, h), c.between(2.5, 4)
        brush.ellipse(x, y, r, r, (244, 244, 238))
        brush.ellipse(x, y, r * 0.4, r * 0.4, (240, 200, 60))
    return _over(picture, brush.image())


def sand(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint a beach seen from above, with pebbles and sometimes the edge of the water."""
    tone = c.tint(c.pick(((222, 196, 150), (206, 178, 138), (232, 216, 184), (180, 160, 136))))
    ripples = c.clouds(w, h, c.between(2, 6), c.between(6, 18), 4)
    pixels = _blend(ripples, darker(tone, 0.2), lighter(tone, 0.2))
    pixels += c.grain(h, w)[..., None] * 5
    if c.happens(0.35):  # the sea comes up one side
        reach = c.clouds(w, h, 2, 2, 2) * 0.25 + _down(w, h) - c.between(0.75, 1.0)
        water = _blend(c.clouds(w, h, 8, 8, 3), (70, 150, 170), (130, 200, 206))
        wet = np.clip(reach * 12, 0, 1)[..., None]
        foam = np.clip(1 - np.abs(reach) * 22, 0, 1)[..., None]
        pixels = pixels + (water - pixels) * wet * 0.8
        pixels = pixels + (255 - pixels) * foam * 0.7
    picture, brush = _image(pixels), Brush(w, h)
    for _ in range(c.whole(2, 26)):
        x, y, r = c.between(0, w), c.between(0, h), c.between(1.5, 7)
        stone = c.tint(c.pick(((120, 112, 104), (190, 180, 170), (150, 120, 100), (236, 226, 214))))
        turn = c.between(0, 3)
        brush.ellipse(x + 1.5, y + 2, r, r * 0.7, (70, 56, 40), turn, opacity=0.4)
        shade = Linear((x - r, y - r), (x + r, y + r), (lighter(stone, 0.3), darker(stone, 0.3)))
        brush.ellipse(x, y, r, r * 0.7, shade, turn)
    return _over(picture, brush.image())


def shallows(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint the floor of a clear sea, with the caustics of the waves."""
    low, high = c.pick((((30, 110, 130), (110, 190, 190)), ((24, 76, 120), (90, 160, 196))))
    pixels = _blend(c.clouds(w, h, 4, 4, 4), c.tint(low), c.tint(high))
    light = np.clip(1 - np.abs(c.clouds(w, h, 6, 6, 2) - 0.5) * 14, 0, 1)
    pixels += light[..., None] * c.between(20, 60)
    picture, brush = _image(pixels), Brush(w, h)
    for _ in range(c.whole(3, 14)):
        x, y, r = c.between(0, w), c.between(0, h), c.between(5, 22)
        stone = c.tint(c.pick(((90, 100, 96), (130, 124, 110), (150, 96, 104), (70, 96, 74))), 20)
        shape = curve(ring(x, y, r, r * 0.7, 0, 8) + [[c.between(-r, r) / 4] * 2 for _ in range(8)])
        brush.polygon(shape, Linear((x, y - r), (x, y + r), (lighter(stone, 0.2), darker(stone))))
    return _over(picture, brush.image(), c.between(0.4, 1.4))


def wood(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint planks."""
    tone = c.tint(
        c.pick(((164, 112, 66), (120, 78, 48), (206, 168, 118), (150, 140, 128), (90, 62, 46)))
    )
    boards, pixels = c.whole(3, 7), np.zeros((h, w, 3), np.float32)
    edges = np.linspace(0, h, boards + 1).astype(int)
    for top, bottom in pairwise(edges):
        tall = int(bottom - top)
        grain = c.clouds(w, tall, c.between(1, 3), tall / 4, 3)
        board = c.tint(tone, 10)
        pixels[top:bottom] = _blend(grain, darker(board, 0.28), lighter(board, 0.14))
        pixels[top : top + 2] *= 0.5
    picture = _image(pixels)
    if w < h or c.happens(0.3):
        picture = picture.transpose(Image.Transpose.ROTATE_90).resize((w, h))
    return _crumbs(c, picture)


def cloth(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint a tablecloth, checked, striped or plain."""
    warp = c.tint(
        c.pick(((190, 48, 44), (48, 84, 140), (60, 120, 88), (214, 180, 70), (150, 120, 150)))
    )
    base = c.tint((238, 232, 222), 10)
    cell, turn = c.between(12, 30), c.between(-0.6, 0.6)
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    u, v = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    style = c.pick(("check", "check", "stripe", "plain"))
    one = (np.sin(u / cell * math.pi) > 0) * 0.5
    two = (np.sin(v / cell * math.pi) > 0) * 0.5
    pattern = {"check": one + two, "stripe": one * 1.4, "plain": one * 0 + 0.75}[style]
    pixels = _blend(pattern.astype(np.float32), base, warp)
    folds = 0.82 + 0.3 * c.clouds(w, h, 3, 2, 2) + 0.03 * c.grain(h, w)
    return _crumbs(c, _image(pixels * folds[..., None]).filter(ImageFilter.GaussianBlur(0.7)))


def _crumbs(c: Chance, picture: Image.Image) -> Image.Image:
    """Scatter leaves, crumbs or coins near the edges of a table."""
    w, h = picture.size
    brush = Brush(w, h)
    for _ in range(c.whole(2, 7) if c.happens(0.6) else 0):
        side = c.between(0, 2 * math.pi)
        x, y = w * (0.5 + 0.5 * math.cos(side)), h * (0.5 + 0.5 * math.sin(side))
        color, turn = (
            c.tint(c.pick((*LEAVES, (200, 60, 50), (226, 180, 70), (236, 230, 220)))),
            c.between(0, 6),
        )
        if c.happens(0.5):
            shape = moved(petal(c.between(20, 40), c.between(9, 18)), x, y, turn)
        else:
            r = c.between(6, 15)
            shape = ring(x, y, r, r * c.between(0.7, 1))
        brush.polygon(moved(shape, 3, 4), (20, 14, 8), opacity=0.35, blur=2)
        brush.polygon(
            shape,
            Linear((x - 12, y - 12), (x + 16, y + 16), (lighter(color), darker(color, 0.2))),
        )
    return _over(picture, brush.image(), c.between(0, 1.5))


def stone(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint marble or slate."""
    low, high = c.pick(
        (
            ((150, 146, 140), (236, 232, 226)),
            ((52, 58, 64), (104, 110, 116)),
            ((120, 104, 92), (190, 174, 156)),
        )
    )
    field = c.clouds(w, h, 4, 4, 5)
    veins = np.clip(1 - np.abs(c.clouds(w, h, 2, 3, 4) - 0.5) * 30, 0, 1) * 0.5
    return _image(_blend(np.clip(field - veins, 0, 1), c.tint(low), c.tint(high)))


def room(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint a wall behind a table, sometimes with a picture or a window."""
    wall = c.tint(
        c.pick(((214, 204, 186), (150, 168, 176), (186, 150, 130), (120, 134, 118), (92, 98, 116))),
        16,
    )
    light = c.clouds(w, h, 1, 1, 1) * 0.6 + 0.2
    picture, brush = _image(_blend(light, darker(wall, 0.3), lighter(wall, 0.25))), Brush(w, h)
    row = horizon * h
    if c.happens(0.6):
        x, y, s = c.between(0, 0.8) * w, c.between(0.0, 0.3) * h, c.between(0.2, 0.45) * h
        frame = np.array([(x, y), (x + s, y), (x + s, y + s), (x, y + s)])
        brush.polygon(frame, darker(wall, 0.5))
        inside = Linear((x, y), (x, y + s), (c.pick(SKIES)[1], c.tint(c.pick(LEAVES))))
        brush.polygon(frame.mean(axis=0) + (frame - frame.mean(axis=0)) * 0.84, inside)
    for _ in range(c.whole(0, 4)):  # books and jars at the back
        x, tall, wide = c.between(0, w), c.between(0.1, 0.35) * h, c.between(8, 30)
        color = c.tint((130, 110, 100), 70)
        box = [(x, row + 3), (x, row - tall), (x + wide, row - tall), (x + wide, row + 3)]
        brush.polygon(box, Linear((x, 0), (x + wide, 0), (lighter(color, 0.2), darker(color, 0.3))))
    table = c.tint(c.pick(((150, 104, 66), (210, 190, 160), (84, 64, 54), (200, 204, 206))))
    box = [(0, row), (w, row), (w, h), (0, h)]
    brush.polygon(box, Linear((0, row), (0, h), (lighter(table, 0.2), darker(table, 0.3))))
    return _over(picture, brush.image(), c.between(1, 3))


def pond(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint still water with floating leaves."""
    low, high = c.pick(
        (
            ((16, 34, 30), (70, 96, 76)),
            ((18, 36, 54), (96, 124, 140)),
            ((34, 40, 22), (110, 118, 70)),
        )
    )
    field = c.clouds(w, h, 3, 9, 4)
    picture, brush = (
        _image(_blend(field * (0.5 + 0.5 * _down(w, h)), c.tint(low), c.tint(high))),
        Brush(w, h),
    )
    for _ in range(c.whole(2, 9)):
        x, y = c.between(0, w), c.between(0, h)
        r, color = c.between(0.06, 0.16) * w * (0.5 + y / h), c.tint(c.pick(LEAVES))
        pad(brush, x, y, r, c.between(0.35, 0.6), c.between(0, 6.3), color)
    return _over(picture, brush.image(), c.between(0.3, 2))


def pad(b: Brush, x: float, y: float, r: float, flat: float, turn: float, color: Color) -> None:
    """Paint a round floating leaf with a notch and veins."""
    t = np.linspace(turn + 0.2, turn + 2 * math.pi - 0.2, 40)
    rim = np.column_stack((x + r * np.cos(t), y + r * flat * np.sin(t)))
    center = (x + 0.12 * r * math.cos(turn), y + 0.12 * r * flat * math.sin(turn))
    b.polygon(np.vstack((moved(rim, 0, 0.05 * r), [center])), darker(color, 0.6))
    b.polygon(
        np.vstack((rim, [center])),
        Linear((x - r, y - r), (x + r, y + r), (lighter(color, 0.3), darker(color, 0.2))),
    )
    for point in rim[3::6]:
        b.line(
            [center, center + (point - center) * 0.9], 0.025 * r, lighter(color, 0.3), opacity=0.6
        )


def garden(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint leaves and flowers far out of focus."""
    green = c.tint(c.pick(LEAVES))
    picture, brush = (
        _image(_blend(c.clouds(w, h, 3, 3, 3), darker(green, 0.55), lighter(green, 0.3))),
        Brush(w, h),
    )
    spots = c.pick(
        (
            ((240, 220, 130), (250, 250, 230)),
            ((220, 110, 150), (250, 190, 200)),
            ((120, 160, 70), (200, 220, 140)),
        )
    )
    for _ in range(c.whole(6, 26)):
        r = c.between(5, 22)
        brush.ellipse(
            c.between(0, w),
            c.between(0, h),
            r,
            r,
            c.tint(c.pick(spots)),
            opacity=c.between(0.15, 0.5),
        )
    for _ in range(c.whole(0, 9)):
        leaf = moved(
            petal(c.between(50, 130), c.between(14, 34)),
            c.between(0, w),
            c.between(0, h),
            c.between(0, 6.3),
        )
        brush.polygon(leaf, c.tint(mix(green, (190, 210, 120), c.between(0, 0.6))), opacity=0.7)
    return _over(picture, brush.image(), c.between(1.5, 5))


def street(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint houses, trees and a road, out of focus."""
    picture, brush = sky(c, w, h, horizon), Brush(w, h)
    row, x = horizon * h + 0.1 * h, c.between(-40, 0)
    while x < w:
        wide, tall = c.between(30, 90), c.between(0.15, 0.6) * h
        color = c.tint(c.pick(((170, 120, 96), (190, 180, 166), (130, 134, 140), (150, 90, 80))))
        if c.happens(0.65):
            brush.polygon(
                [(x, row), (x, row - tall), (x + wide, row - tall), (x + wide, row)], color
            )
            for i in range(int(tall / 22)):
                for j in range(int(wide / 18)):
                    left, up = x + 6 + 18 * j, row - tall + 8 + 22 * i
                    brush.polygon(
                        [(left, up), (left + 8, up), (left + 8, up + 11), (left, up + 11)],
                        lighter(color, 0.35) if c.happens(0.4) else darker(color, 0.4),
                    )
        else:
            leaf = c.tint(c.pick(LEAVES))
            for _ in range(7):
                r = c.between(10, 24)
                brush.ellipse(
                    x + c.between(0, wide), row - c.between(0.2, 1) * tall, r, r, c.tint(leaf)
                )
        x += wide + c.between(0, 14)
    brush.polygon(
        [(0, row), (w, row), (w, h), (0, h)],
        Linear((0, row), (0, h), ((126, 126, 126), (84, 84, 88))),
    )
    return _over(picture, brush.image(), c.between(1, 4))


def studio(c: Chance, w: int, h: int, horizon: float) -> Image.Image:
    """Paint a plain sheet, as in a catalog."""
    tone = c.tint(
        c.pick(((244, 244, 242), (250, 250, 250), (206, 210, 214), (226, 214, 196), (70, 76, 88))),
        6,
    )
    light = c.clouds(w, h, 1, 1, 1) * 0.5 + 0.5 * (1 - _down(w, h))
    return _image(_blend(light, darker(tone, 0.18), lighter(tone, 0.3)))


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        sky,
        sea,
        desert,
        meadow,
        lawn,
        sand,
        shallows,
        wood,
        cloth,
        stone,
        room,
        pond,
        garden,
        street,
        studio,
    )
}
