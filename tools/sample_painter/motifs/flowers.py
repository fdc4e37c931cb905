"""Painters of flowers, two of which a network may confuse."""

import math

import numpy as np

from tools.sample_painter.brush import (
    Brush,
    Chance,
    Color,
    Linear,
    Points,
    Radial,
    curve,
    darker,
    lighter,
    mix,
    moved,
    petal,
)
from tools.sample_painter.motifs.table import CLEAR, TURN, WHITE, motif
from tools.sample_painter.scenery import LEAVES, pad

PETALS: tuple[tuple[Color, Color], ...] = (
    ((250, 236, 238), (232, 130, 168)),
    ((240, 234, 228), (236, 196, 210)),
    ((232, 232, 212), (236, 234, 228)),
    ((244, 190, 210), (206, 84, 140)),
    ((252, 240, 190), (246, 222, 130)),
)


def _petals(
    b: Brush,
    c: Chance,
    count: int,
    length: float,
    width: float,
    colors: tuple[Color, Color],
    flat: float,
    lift: float,
    start: float,
) -> None:
    """Paint one whorl of petals, the far ones first, seen at a slant."""
    turns = [start + TURN * i / count for i in range(count)]
    for turn in sorted(turns, key=lambda v: math.sin(v)):
        long = length * c.between(0.9, 1.06)
        base, tip = c.tint(colors[0], 8), c.tint(colors[1], 8)
        shape = moved(petal(long, width * c.between(0.85, 1.1), 1.15), 0, 0, turn) * (1, flat)
        raised = shape - np.column_stack(
            (np.zeros(len(shape)), lift * np.hypot(shape[:, 0], shape[:, 1] / flat) ** 2)
        )
        (x, y), tone = raised[13], darker(tip, 0.45)
        b.polygon(np.vstack((raised, raised[:1])), tone, width=0.014)
        b.polygon(raised, Linear((0, 0), (x, y), (darker(base, 0.12), base, tip)))
        b.line([(x * 0.2, y * 0.2), (x * 0.85, y * 0.85)], 0.008, tone, opacity=0.35)


def _cup_petal(
    b: Brush,
    c: Chance,
    base: Points,
    turn: float,
    long: float,
    width: float,
    colors: tuple[Color, Color],
) -> None:
    """Paint one cupped petal that stands up from `base`."""
    low, high = c.tint(colors[0], 8), c.tint(colors[1], 8)
    shape = moved(petal(long, width, 1.2), base[0], base[1], turn)
    x, y = shape[13]
    b.polygon(np.vstack((shape, shape[:1])), darker(high, 0.35), width=0.014)
    b.polygon(
        shape,
        Linear(
            (base[0], base[1]),
            (x, y),
            (mix(low, (220, 226, 170), 0.3), low, mix(low, high, 0.6), high),
        ),
    )
    b.polygon(
        moved(petal(long * 0.9, width * 0.4, 1.2), base[0] + 0.02, base[1], turn),
        WHITE,
        opacity=0.18,
        blur=0.02,
        atop=True,
    )
    for side in (-0.12, 0.0, 0.12):
        vein = curve(
            [(0, 0), (0.5 * long, 0.8 * side * long), (0.9 * long, 0.45 * side * long)], False
        )
        vein = moved(vein, base[0], base[1], turn)
        b.line(vein, 0.007, darker(high, 0.25), opacity=0.4)


@motif("pond pond garden", pose="floating", tilt=10)
def lotus(b: Brush, c: Chance) -> None:
    """Paint a flower on a stem above the water: a cup of wide petals around a seed pod."""
    colors, leaf = c.pick(PETALS[:4]), c.tint(c.pick(LEAVES))
    b.line(
        curve([(c.between(-0.2, 0.2), 1.5), (0.04, 0.8), (0, 0.3)], closed=False),
        0.07,
        Linear((-0.05, 0), (0.05, 0), (lighter(leaf, 0.3), darker(leaf, 0.3))),
    )
    for _ in range(c.whole(0, 2)):
        pad(
            b,
            c.pick((-0.9, 0.9)),
            c.between(0.7, 1.1),
            c.between(0.5, 0.7),
            0.4,
            c.between(0, TURN),
            leaf,
        )
    spread = c.between(0.75, 1.05)
    count, lean = c.whole(7, 9), c.between(1.05, 1.45)
    base = np.array([0.0, 0.42])
    rows = ((lean, 0.95 * spread, 0.46), (0.72 * lean, 1.05, 0.46))
    for reach, long, width in rows:  # the back of the cup
        for i in range(count):
            turn = -TURN / 4 + reach * (2 * i / (count - 1) - 1)
            _cup_petal(b, c, base, turn, long * c.between(0.9, 1.05), width, colors)
    if c.happens(0.6):
        b.ellipse(0, -0.1, 0.2, 0.3, (236, 196, 80), blur=0.03, atop=True)
        b.ellipse(
            0, -0.16, 0.19, 0.1, Linear((0, -0.26), (0, -0.06), ((214, 206, 110), (150, 160, 70)))
        )
        for i in range(7):
            b.ellipse(0.12 * math.cos(i), -0.16 + 0.05 * math.sin(i), 0.018, 0.014, (110, 100, 50))
    front = c.whole(3, 5)
    for i in sorted(range(front), key=lambda i: -abs(i - (front - 1) / 2)):
        turn = -TURN / 4 + lean * 0.95 * (2 * i / (front - 1) - 1)
        _cup_petal(
            b, c, base + np.array([0, 0.05]), turn, 0.62 * c.between(0.85, 1.1), 0.46, colors
        )


@motif("pond", pose="floating", tilt=12)
def water_lilly(b: Brush, c: Chance) -> None:
    """Paint a flower that floats among its leaves: many pointed petals, a yellow heart."""
    colors, leaf = c.pick(PETALS), c.tint(c.pick(LEAVES))
    for _ in range(c.whole(2, 4)):
        turn = c.between(0, TURN)
        pad(
            b,
            0.7 * math.cos(turn),
            0.35 + 0.45 * math.sin(turn),
            c.between(0.5, 0.8),
            c.between(0.5, 0.65),
            c.between(0, TURN),
            c.tint(leaf),
        )
    b.ellipse(0.05, 0.3, 0.7, 0.35, (10, 20, 14), opacity=0.5, blur=0.08, atop=True)
    flat, start = c.between(0.5, 0.85), c.between(0, TURN)
    count = c.whole(8, 13)
    for i, (length, width) in enumerate(((0.92, 0.3), (0.74, 0.27), (0.55, 0.22))):
        _petals(b, c, count - i, length, width, colors, flat, 0.12 + 0.28 * i, start + 0.3 * i)
    for _ in range(34):
        turn, r = c.between(0, TURN), c.between(0.02, 0.2)
        x, y = r * math.cos(turn), r * flat * math.sin(turn) - 0.05
        b.line([(x * 0.4, y * 0.4), (x, y - 0.06)], 0.03, c.tint((240, 186, 40), 24))


@motif("sky meadow meadow garden", pose="free", tilt=24)
def sunflower(b: Brush, c: Chance) -> None:
    """Paint rays around a dark disc whose seeds follow the golden angle."""
    ray = c.tint(c.pick(((248, 190, 26), (252, 208, 60), (236, 160, 20), (240, 176, 40))), 14)
    heart, leaf = c.tint(c.pick(((64, 38, 20), (96, 58, 24), (40, 28, 22)))), c.tint(c.pick(LEAVES))
    b.line(
        curve([(0, 0), (0.06, 1.2), (c.between(-0.3, 0.3), 3)], closed=False),
        0.13,
        Linear((-0.07, 0), (0.09, 0), (lighter(leaf, 0.3), darker(leaf))),
    )
    for side in (0.35, math.pi - 0.35) if c.happens(0.7) else ():
        blade = moved(petal(0.95, 0.55, 0.8), 0.04, 1.15, side + c.between(-0.3, 0.3))
        b.polygon(blade, Linear((0, 0.8), (0, 1.6), (lighter(leaf, 0.25), darker(leaf, 0.3))))
        b.line([blade[0], blade[13]], 0.018, lighter(leaf, 0.4))
    flat, core, count = c.between(0.75, 1), c.between(0.36, 0.52), c.whole(15, 26)
    for length, tone in ((1.0, darker(ray, 0.2)), (0.93, ray)):
        start = c.between(0, TURN)
        for i in range(count):
            turn = start + TURN * i / count + c.between(-0.08, 0.08)
            long, wide = length * c.between(0.86, 1.02), 4.6 / count * c.between(0.85, 1.1)
            shape = moved(petal(long, wide, 1.25), 0, 0, turn) * (1, flat)
            b.polygon(np.vstack((shape, shape[:1])), darker(tone, 0.45), width=0.012)
            b.polygon(
                shape,
                Radial(
                    (0, 0),
                    1.0,
                    (darker(tone, 0.5), darker(tone, 0.35), c.tint(tone), lighter(tone, 0.35)),
                ),
            )
            b.line([shape[13] * 0.5, shape[13] * 0.9], 0.008, darker(tone, 0.35), opacity=0.5)
    b.ellipse(
        0.02,
        0.03,
        core * 1.12,
        core * 1.12 * flat,
        darker(ray, 0.6),
        opacity=0.55,
        blur=0.05,
        atop=True,
    )
    b.ellipse(
        0,
        0,
        core,
        core * flat,
        Radial((0, 0), core, (lighter(heart, 0.25), darker(heart, 0.3), heart)),
    )
    green = mix(heart, (150, 150, 60), c.between(0.2, 0.7))
    for i in range(190):
        r, turn = core * math.sqrt((i + 0.5) / 190), 2.39996 * i
        tone = mix(
            green if r < core * 0.45 else heart, ray, 0.55 * (r / core) ** 2 * c.between(0.4, 1)
        )
        b.ellipse(r * math.cos(turn), r * math.sin(turn) * flat, 0.017, 0.017, lighter(tone, 0.22))
    b.ellipse(
        0,
        0,
        1,
        1,
        Linear((-0.7, -0.8), (0.7, 0.8), ((255, 255, 255, 30), CLEAR, (0, 0, 0, 60))),
        atop=True,
    )
