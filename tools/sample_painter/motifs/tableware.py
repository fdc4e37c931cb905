"""Painters of objects on a table."""

import math

import numpy as np

from tools.sample_painter.brush import (
    Brush,
    Chance,
    Linear,
    Radial,
    curve,
    darker,
    lighter,
    mix,
    moved,
    petal,
    ring,
)
from tools.sample_painter.motifs.table import BLACK, CLEAR, TURN, WHITE, motif


@motif("room room room wood studio", pose="standing", tilt=3)
def cup(b: Brush, c: Chance) -> None:
    """Paint a mug or a tea cup with a handle, sometimes with a saucer, a pattern and steam."""
    glaze = c.tint(
        c.pick(
            (
                (240, 236, 226),
                (190, 60, 50),
                (60, 110, 150),
                (230, 190, 90),
                (90, 140, 110),
                (60, 60, 66),
                (206, 150, 160),
            )
        ),
        18,
    )
    trim = c.tint(c.pick(((40, 70, 130), (190, 60, 50), (240, 230, 210), (200, 150, 60))), 18)
    tea, flat = c.happens(0.45), c.between(0.16, 0.3)
    top, base, rim = (
        (-0.35, 0.82, 0.74) if tea else (c.between(-0.75, -0.5), 0.86, c.between(0.5, 0.62))
    )
    foot = rim * (c.between(0.4, 0.5) if tea else c.between(0.75, 1.02))
    if tea or c.happens(0.3):
        b.ellipse(0, base, 0.98, 0.98 * flat, darker(glaze, 0.45))
        b.ellipse(
            0,
            base - 0.05,
            0.98,
            0.98 * flat,
            Linear((-1, 0), (1, 0), (lighter(glaze, 0.3), darker(glaze, 0.15))),
        )
        b.ellipse(0, base - 0.04, 0.62, 0.62 * flat, darker(glaze, 0.22), blur=0.02)
    t = np.linspace(0, 1, 16)
    bulge = t**2.6 if tea else t ** c.between(0.8, 3)
    half = rim + (foot - rim) * bulge
    y = top + (base - top) * t
    middle = top + (base - top) * 0.42  # the handle goes behind the body
    grip = curve(
        [
            (rim * 0.9, middle - 0.24),
            (rim + 0.26, middle - 0.28),
            (rim + 0.34, middle),
            (rim + 0.18, middle + 0.26),
            (foot * 0.8, middle + 0.4),
        ],
        closed=False,
    )
    b.line(grip, 0.15, darker(glaze, 0.35))
    b.line(grip - (0.012, 0.015), 0.1, glaze)
    b.line(grip - (0.03, 0.03), 0.03, lighter(glaze, 0.5))
    bottom = ring(0, base, foot, foot * flat, 0, 48)[:25]  # the near half of the foot
    body = np.vstack((np.column_stack((half, y)), bottom, np.column_stack((-half, y))[::-1]))
    b.polygon(body, glaze)
    pattern = c.pick(("plain", "bands", "dots", "flower", "zigzag"))
    near = ring(0, 0, 1, flat, 0, 48)[:25]
    if pattern in ("bands", "zigzag"):
        for level in (0.2, 0.62) if pattern == "bands" else (0.4,):
            r = float(np.interp(level, t, half))
            band = near * r + (0, top + (base - top) * level)
            if pattern == "zigzag":
                band = band + np.column_stack((np.zeros(25), 0.06 * (-1.0) ** np.arange(25)))
            b.line(band, c.between(0.05, 0.12), trim, atop=True)
    elif pattern == "dots":
        for level in (0.25, 0.5, 0.75):
            r = float(np.interp(level, t, half))
            for x, dy in (near * r)[2 + round(level * 4) % 2 : -1 : 4]:
                b.ellipse(x, top + (base - top) * level + dy, 0.06, 0.06, trim, atop=True)
    elif pattern == "flower":
        x, dy = c.between(-0.2, 0.1), top + (base - top) * 0.55 + rim * flat
        for i in range(6):
            b.polygon(moved(petal(0.24, 0.16, 0.8), x, dy, TURN * i / 6), trim, atop=True)
        b.ellipse(x, dy, 0.07, 0.07, (240, 200, 80), atop=True)
    shine = ((0, 0, 0, 40), (255, 255, 255, 90), CLEAR, (0, 0, 0, 50), (0, 0, 0, 130))
    b.polygon(body, Linear((-rim, 0), (rim, 0), shine), atop=True)
    b.ellipse(0, top, rim, rim * flat, lighter(glaze, 0.35))
    b.ellipse(
        0,
        top,
        rim * 0.93,
        rim * flat * 0.9,
        Linear((-rim, 0), (rim, 0), (darker(glaze, 0.5), glaze)),
    )
    drink = c.pick(((60, 34, 20), (140, 84, 44), (150, 70, 26), (226, 200, 170)))
    b.ellipse(
        0,
        top + 0.05,
        rim * 0.84,
        rim * flat * 0.72,
        Radial((0, top), rim, (lighter(drink, 0.2), drink, darker(drink, 0.3))),
    )
    if c.happens(0.4):
        for x in (-0.18, 0.14):
            steam = curve(
                [(x, top), (x + 0.1, top - 0.16), (x - 0.06, top - 0.3), (x + 0.06, top - 0.46)],
                closed=False,
            )
            b.line(steam, 0.05, WHITE, opacity=0.28, blur=0.012)


@motif("wood cloth stone wood", pose="lying", tilt=180)
def pizza(b: Brush, c: Chance) -> None:
    """Paint a round pizza on a board, plate or bare table, with randomly placed toppings."""
    if c.happens(0.6):
        dish = c.tint(c.pick(((232, 228, 220), (150, 104, 62), (60, 58, 58))))
        b.ellipse(0, 0, 1, 1, Linear((-1, -1), (1, 1), (lighter(dish, 0.3), darker(dish, 0.25))))
        b.ellipse(0.02, 0.02, 0.9, 0.9, darker(dish, 0.35), blur=0.03)
    rim = np.array([c.between(0.97, 1.03) for _ in range(18)])[:, None]
    edge = curve(ring(0, 0, 0.88, 0.88, 0, 18) * rim)
    crust = c.tint((206, 150, 84))
    b.polygon(
        edge, Radial((-0.1, -0.1), 1.0, (crust, crust, lighter(crust, 0.25), darker(crust, 0.35)))
    )
    for _ in range(26):
        turn = c.between(0, TURN)
        b.ellipse(
            0.82 * math.cos(turn),
            0.82 * math.sin(turn),
            c.between(0.03, 0.1),
            0.04,
            (110, 60, 24),
            turn + TURN / 4,
            opacity=0.5,
            blur=0.02,
            atop=True,
        )
    b.polygon(edge * 0.86, c.tint((176, 52, 26)))
    cheese = c.tint(c.pick(((240, 206, 110), (246, 226, 160), (232, 180, 84))))
    b.polygon(
        edge * 0.83,
        Radial((-0.2, -0.2), 1.0, (lighter(cheese, 0.2), cheese, darker(cheese, 0.12))),
        blur=0.015,
    )
    for _ in range(40):
        turn, r = c.between(0, TURN), 0.7 * math.sqrt(c.between(0, 1))
        tone = c.pick(((255, 244, 200), (200, 90, 40), (216, 150, 60), (180, 60, 30)))
        b.ellipse(
            r * math.cos(turn),
            r * math.sin(turn),
            c.between(0.03, 0.12),
            c.between(0.03, 0.09),
            tone,
            turn,
            opacity=0.5,
            blur=0.02,
        )
    spots = [(0.66 * math.sqrt((i + 0.5) / 26), 2.4 * i + c.between(-0.3, 0.3)) for i in range(26)]
    kinds = [
        c.pick(("salami", "salami", "olive", "basil", "pepper", "mushroom", "tomato"))
        for _ in range(c.whole(1, 3))
    ]
    for r, turn in spots:
        x, y, way, kind = r * math.cos(turn), r * math.sin(turn), c.between(0, TURN), c.pick(kinds)
        if c.happens(0.2):
            continue
        if kind in ("salami", "tomato"):
            s = c.between(0.1, 0.14)
            meat = c.tint((170, 44, 36) if kind == "salami" else (222, 70, 40))
            b.ellipse(x + 0.015, y + 0.02, s, s, (80, 30, 10), opacity=0.6, blur=0.015)
            b.ellipse(
                x,
                y,
                s,
                s * 0.95,
                Radial(
                    (x - 0.04, y - 0.04), s * 1.3, (lighter(meat, 0.25), meat, darker(meat, 0.4))
                ),
            )
            for _ in range(5):
                b.ellipse(
                    x + c.between(-s, s) * 0.6,
                    y + c.between(-s, s) * 0.6,
                    0.016,
                    0.012,
                    lighter(meat, 0.5),
                )
        elif kind == "olive":
            b.ellipse(x, y, 0.075, 0.075, (34, 32, 34))
            b.ellipse(x, y, 0.035, 0.035, darker(cheese, 0.3))
            b.line(ring(x, y, 0.055, 0.055)[40:54], 0.012, (130, 130, 130))
        elif kind == "basil":
            b.polygon(
                moved(petal(0.28, 0.15), x + 0.015, y + 0.02, way),
                (60, 40, 10),
                opacity=0.5,
                blur=0.015,
            )
            b.polygon(
                moved(petal(0.28, 0.15), x, y, way),
                Linear((x, y - 0.1), (x, y + 0.12), ((96, 160, 60), (34, 84, 34))),
            )
            b.line(moved([(0.02, 0), (0.25, 0)], x, y, way), 0.012, (140, 190, 100))
        elif kind == "pepper":
            arc = ring(x, y, 0.13, 0.1, way)[: c.whole(30, 60)]
            skin = c.tint(c.pick(((70, 140, 50), (220, 60, 40), (236, 190, 50))))
            b.line(moved(arc, 0.01, 0.02), 0.045, darker(skin, 0.5), opacity=0.6)
            b.line(arc, 0.04, skin)
        else:
            slice_ = moved(
                curve(
                    [
                        (-0.13, 0),
                        (-0.07, -0.12),
                        (0.07, -0.12),
                        (0.13, 0),
                        (0.04, 0.0),
                        (0.04, 0.12),
                        (-0.04, 0.12),
                        (-0.04, 0),
                    ]
                ),
                x,
                y,
                way,
            )
            b.polygon(slice_, darker((224, 206, 176), 0.5), width=0.02)
            b.polygon(slice_, (232, 218, 194))
    cuts, first = c.pick((0, 0, 3, 4)), c.between(0, TURN)
    for i in range(2 * cuts):
        turn = first + TURN * i / (2 * cuts)
        b.line(
            [(0, 0), (0.9 * math.cos(turn), 0.9 * math.sin(turn))],
            0.016,
            (110, 50, 20),
            opacity=0.8,
            atop=True,
        )
    b.polygon(
        edge * 0.95,
        Linear((-0.8, -0.8), (0.8, 0.8), ((255, 255, 255, 36), CLEAR, (0, 0, 0, 70))),
        atop=True,
    )


@motif("wood cloth stone studio", pose="lying", tilt=180)
def watch(b: Brush, c: Chance) -> None:
    """Paint a wrist watch: strap, case, dial, marks, hands at some hour."""
    strap = c.tint(
        c.pick(((96, 58, 34), (34, 32, 34), (150, 96, 54), (40, 56, 90), (176, 178, 184)))
    )
    metal = c.tint(c.pick(((196, 198, 204), (214, 176, 96), (90, 92, 98), (206, 150, 120))))
    dial = c.tint(
        c.pick(((246, 244, 236), (24, 26, 32), (30, 52, 100), (226, 214, 186), (40, 78, 62))), 8
    )
    ink = (24, 24, 28) if sum(dial) > 380 else (240, 238, 230)
    half, steel = c.between(0.24, 0.3), sum(strap) > 480
    for side in (-1, 1):
        band = np.array(
            [(-half, 0), (half, 0), (half * 0.82, side * 1.5), (-half * 0.82, side * 1.5)]
        )
        b.polygon(
            band,
            Linear(
                (-half, 0),
                (half, 0),
                (darker(strap, 0.45), lighter(strap, 0.25), strap, darker(strap, 0.5)),
            ),
        )
        if steel:
            for y in np.arange(0.45, 1.5, 0.1):
                b.line([(-half, side * y), (half, side * y)], 0.02, darker(strap, 0.65))
            for x in (-0.33, 0.33):
                b.line([(half * x, 0), (half * x * 0.85, side * 1.5)], 0.014, darker(strap, 0.5))
        else:
            for edge in (-0.84, 0.84):
                for y in np.arange(0.45, 1.5, 0.075):
                    b.line(
                        [
                            (half * edge * (1 - 0.11 * y), side * y),
                            (half * edge * (1 - 0.11 * y), side * (y + 0.035)),
                        ],
                        0.014,
                        lighter(strap, 0.5),
                    )
            if side > 0:
                for y in np.arange(0.8, 1.45, 0.14):
                    b.ellipse(0, y, 0.03, 0.04, darker(strap, 0.75))
    b.line(
        [(0.5, 0), (0.64, 0)], 0.13, Linear((0, -0.07), (0, 0.07), (lighter(metal), darker(metal)))
    )
    size, square = c.between(0.52, 0.6), c.happens(0.2)
    corner = (
        np.array([(-1, -1), (0, -1.04), (1, -1), (1.04, 0), (1, 1), (0, 1.04), (-1, 1), (-1.04, 0)])
        * 0.86
    )
    for x in (-half, half):  # lugs
        b.line(
            [(x, -size - 0.06), (x, size + 0.06)],
            0.12,
            Linear((x - 0.06, 0), (x + 0.06, 0), (lighter(metal, 0.5), darker(metal, 0.3))),
        )
    gloss = (
        lighter(metal, 0.75),
        metal,
        darker(metal, 0.45),
        lighter(metal, 0.35),
        darker(metal, 0.55),
    )
    for r, fill in (
        (1.0, Linear((-size, -size), (size, size), gloss)),
        (0.87, Linear((size, size), (-size, -size), gloss)),
        (0.81, Radial((-0.1, -0.15), 0.9, (lighter(dial, 0.12), dial, darker(dial, 0.2)))),
    ):
        shape = curve(corner * size * r) if square else ring(0, 0, size * r, size * r)
        b.polygon(shape, fill)
    style, face = c.pick(("bar", "dot", "roman")), size * 0.74
    if c.happens(0.35):  # small dials
        for turn in c.pick(((0.0, math.pi), (TURN / 4,), (0.0, TURN / 4, math.pi))):
            x, y = 0.45 * face * math.cos(turn), 0.45 * face * math.sin(turn)
            b.ellipse(x, y, 0.24 * face, 0.24 * face, mix(dial, ink, 0.22))
            b.line([(x, y), moved([(0.18 * face, 0)], x, y, c.between(0, TURN))[0]], 0.012, ink)
    for i in range(60):
        turn, hour = TURN * i / 60, i % 5 == 0
        length = 0.16 if hour else 0.05
        if hour and style == "dot":
            b.ellipse(0.92 * face * math.cos(turn), 0.92 * face * math.sin(turn), 0.035, 0.035, ink)
            continue
        wide = 0.036 if hour and style == "bar" else 0.016 if hour else 0.008
        for shift in (-0.035, 0.035) if hour and style == "roman" else (0.0,):
            b.line(moved([((1 - length) * face, shift), (face, shift)], 0, 0, turn), wide, ink)
    if c.happens(0.4):
        b.polygon(
            np.array([(0.58, -0.1), (0.86, -0.1), (0.86, 0.1), (0.58, 0.1)]) * face, (246, 246, 240)
        )
        b.line(np.array([(0.7, -0.05), (0.7, 0.05)]) * face, 0.016, (30, 30, 30))
    minutes, hours = c.whole(0, 59), c.whole(0, 11)
    for turn, long, wide in (
        (TURN * (hours + minutes / 60) / 12, 0.55, 0.05),
        (TURN * minutes / 60, 0.86, 0.034),
    ):
        hand = moved([(-0.1 * face, 0), (long * face, 0)], 0, 0, turn - TURN / 4)
        b.line(moved(hand, 0.012, 0.016), wide, BLACK, opacity=0.3, blur=0.01)
        b.line(hand, wide, ink)
    b.line(
        moved([(-0.2 * face, 0), (0.9 * face, 0)], 0, 0, c.between(0, TURN)), 0.012, (200, 40, 36)
    )
    b.ellipse(0, 0, 0.03, 0.03, metal)
    b.polygon(
        ring(-0.14, -0.2, 0.34 * size, 0.2 * size, -0.7), WHITE, opacity=0.2, blur=0.03, atop=True
    )
