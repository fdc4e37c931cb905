"""Painters of things seen outdoors."""

import math
from itertools import combinations, pairwise

import numpy as np

from tools.sample_painter.brush import (
    Brush,
    Chance,
    Linear,
    Points,
    Radial,
    curve,
    darker,
    lighter,
    mix,
    moved,
    ring,
)
from tools.sample_painter.motifs.table import BLACK, CLEAR, TURN, motif


@motif("desert", pose="floating", tilt=0)
def pyramid(b: Brush, c: Chance) -> None:
    """Paint a smooth or stepped pyramid of stone courses, one side in the sun."""
    stone = c.tint(c.pick(((216, 178, 116), (190, 156, 112), (206, 190, 160), (176, 130, 88))), 8)
    groups = [(0.0, 1.0, 1.0)]
    for _ in range(c.whole(0, 2)):
        groups.insert(
            0,
            (
                c.pick((-1.0, 1.0)) * c.between(0.75, 1.2),
                c.between(0.35, 0.7),
                c.between(0.92, 0.97),
            ),
        )
    stepped, height, ridge = c.happens(0.35), c.between(1.15, 1.5), c.between(-0.35, 0.35)
    courses = c.whole(5, 8) if stepped else c.whole(13, 22)
    for x, size, ground in groups:
        haze = 0.0 if size == 1.0 else 0.3
        lit, shade = (
            mix(lighter(stone, 0.25), (200, 210, 220), haze),
            mix(darker(stone, 0.55), (200, 210, 220), haze),
        )
        left, right, near = (
            np.array([-0.98, -0.08]),
            np.array([0.98, -0.08]),
            np.array([ridge, 0.0]),
        )
        apex = np.array([ridge * 0.3, -height])
        fall = np.array([near, right, (1.5, 0.04)]) * size + (x, ground)
        b.polygon(fall, BLACK, opacity=0.4, blur=0.02)
        for i in range(courses):
            low, high = i / courses, (i + 1) / courses
            inset = 0.3 / courses if stepped else 0.0
            top = min(high, 0.86) if stepped else high
            for far, color in ((left, lit), (right, shade)):
                a, z = near + (apex - near) * low, far + (apex - far) * low
                up_a = near + (apex - near) * (top - inset * 2.2)
                up_z = far + (apex - far) * (top - inset * 2.2)
                if stepped:  # the riser stands straight, the tread above it is lit
                    rise = (apex[1] - near[1]) / courses * 0.86
                    up_a, up_z = a + np.array([0, rise]), z + np.array([0, rise])
                tone = c.tint(color, 5)
                quad = np.array([a, z, up_z, up_a]) * size + (x, ground)
                b.polygon(quad, Linear(tuple(quad[0]), tuple(quad[1]), (tone, lighter(tone, 0.12))))
                if stepped:
                    inner = np.array(
                        [up_a, up_z, far + (apex - far) * high, near + (apex - near) * high]
                    ) * size + (x, ground)
                    b.polygon(inner, lighter(color, 0.3))
                b.line(quad[:2], 0.008 * size, darker(color, 0.3), opacity=0.55)
                for _ in range(c.whole(2, 6) if size == 1.0 else 0):
                    t, depth = c.between(0, 1), c.between(0.1, 0.5)
                    spot = quad[0] + (quad[1] - quad[0]) * t
                    block = [
                        spot,
                        spot + (quad[1] - quad[0]) * 0.05,
                        spot + (quad[1] - quad[0]) * 0.05 + (0, -0.03),
                        spot - np.array([0, 0.03]),
                    ]
                    b.polygon(
                        block,
                        darker(color, 0.3) if c.happens(0.6) else lighter(color, 0.3),
                        opacity=depth,
                    )
        drift = curve(
            [
                (x - size * 1.15, ground + 0.06),
                (x - 0.6 * size, ground - 0.06 * size),
                (x + 0.1, ground + 0.0),
                (x + 0.7 * size, ground - 0.05 * size),
                (x + 1.15 * size, ground + 0.06),
            ],
            closed=False,
        )
        b.polygon(moved(drift, 0, 0.02), lighter(stone, 0.12), opacity=0.7, blur=0.012, atop=True)
    if c.happens(0.5):  # travelers give the scale
        for _ in range(c.whole(1, 4)):
            x, y = c.between(-1.1, 1.1), c.between(1.0, 1.12)
            b.ellipse(x, y - 0.04, 0.014, 0.04, c.tint((60, 50, 60), 40))
            b.ellipse(x, y - 0.09, 0.012, 0.012, (70, 50, 40))


def _sphere_shade(b: Brush, r: float, depth: int = 150) -> None:
    """Shade a ball of radius `r` that is painted already, and give it a highlight."""
    dark = (CLEAR, CLEAR, (0, 0, 0, depth // 4), (0, 0, 0, depth))
    b.ellipse(0, 0, r, r, Radial((-0.35 * r, -0.4 * r), 1.55 * r, dark), atop=True)
    glow = ((255, 255, 255, 110), (255, 255, 255, 0))
    b.ellipse(
        -0.4 * r,
        -0.45 * r,
        0.45 * r,
        0.45 * r,
        Radial((-0.4 * r, -0.45 * r), 0.45 * r, glow),
        atop=True,
    )


@motif("lawn lawn lawn studio sand wood", pose="resting", tilt=180)
def soccer_ball(b: Brush, c: Chance) -> None:
    """Paint a truncated icosahedron blown up to a ball, turned at random in space."""
    patch, panel = c.pick(
        (
            (((22, 22, 26)), (246, 246, 244)),
            ((22, 22, 26), (246, 246, 244)),
            ((30, 60, 150), (244, 244, 246)),
            ((190, 30, 36), (246, 244, 240)),
            ((30, 110, 70), (246, 238, 120)),
        )
    )
    golden = (1 + math.sqrt(5)) / 2
    corners = np.array(
        [np.roll((0.0, s, t * golden), k) for s in (-1, 1) for t in (-1, 1) for k in range(3)]
    )
    corners /= np.linalg.norm(corners[0])
    a, e, g = (c.between(0, TURN) for _ in range(3))
    spin_x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    spin_y = np.array([[math.cos(e), 0, math.sin(e)], [0, 1, 0], [-math.sin(e), 0, math.cos(e)]])
    spin_z = np.array([[math.cos(g), -math.sin(g), 0], [math.sin(g), math.cos(g), 0], [0, 0, 1]])
    corners = corners @ (spin_x @ spin_y @ spin_z).T
    r = 0.94
    b.ellipse(0, 0, r, r, panel)
    near = [(i, j) for i, j in combinations(range(12), 2) if corners[i] @ corners[j] > 0.4]
    for i, j in near:
        seam = np.linspace((2 * corners[i] + corners[j]) / 3, (corners[i] + 2 * corners[j]) / 3, 7)
        seam /= np.linalg.norm(seam, axis=1, keepdims=True)
        if seam[:, 2].min() > 0:
            b.line(seam[:, :2] * r, 0.018, darker(panel, 0.6), atop=True)
    for i in range(12):
        if corners[i, 2] < -0.3:
            continue
        around = [k for pair in near if i in pair for k in pair if k != i]
        side = np.cross(corners[i], corners[around[0]])
        side /= np.linalg.norm(side)
        ahead = np.cross(side, corners[i])
        around.sort(key=lambda k: math.atan2(float(corners[k] @ side), float(corners[k] @ ahead)))
        five = np.array([(2 * corners[i] + corners[k]) / 3 for k in around])
        edge = np.vstack(
            [
                np.linspace(p, q, 6)[:-1]
                for p, q in zip(five, np.roll(five, -1, axis=0), strict=True)
            ]
        )
        edge /= np.linalg.norm(edge, axis=1, keepdims=True)
        hidden = edge[:, 2] < 0
        edge[hidden, :2] /= np.linalg.norm(edge[hidden, :2], axis=1, keepdims=True)
        b.polygon(edge[:, :2] * r, patch, atop=True)
    if c.happens(0.4):  # mud
        for _ in range(c.whole(4, 14)):
            b.ellipse(
                c.between(-0.7, 0.7),
                c.between(-0.4, 0.9),
                c.between(0.02, 0.12),
                c.between(0.02, 0.06),
                (110, 86, 50),
                opacity=0.5,
                blur=0.02,
                atop=True,
            )
    _sphere_shade(b, r, c.whole(120, 190))


LETTERS: dict[str, Points] = {  # strokes in a cell 1 wide and 2 high
    "S": curve(
        [
            (0.95, 0.42),
            (0.72, 0.1),
            (0.28, 0.1),
            (0.06, 0.45),
            (0.24, 0.82),
            (0.5, 1.0),
            (0.78, 1.18),
            (0.95, 1.55),
            (0.72, 1.9),
            (0.28, 1.9),
            (0.05, 1.58),
        ],
        closed=False,
    ),
    "T": np.array([(0.0, 0.1), (1.0, 0.1), (0.5, 0.1), (0.5, 1.9)]),
    "O": curve(
        [
            (0.5, 0.08),
            (0.86, 0.3),
            (0.95, 1.0),
            (0.86, 1.7),
            (0.5, 1.92),
            (0.14, 1.7),
            (0.05, 1.0),
            (0.14, 0.3),
            (0.5, 0.08),
        ],
        closed=False,
    ),
    "P": np.array(
        [
            (0.1, 1.9),
            (0.1, 0.1),
            *curve(
                [(0.5, 0.1), (0.82, 0.18), (0.95, 0.55), (0.82, 0.94), (0.5, 1.04)], closed=False
            ),
            (0.1, 1.04),
        ]
    ),
}


@motif("street street meadow sky garden", pose="free", tilt=9, mirrored=False)
def stop_sign(b: Brush, c: Chance) -> None:
    """Paint a red octagon with a white border and its word, on a post."""
    red = c.tint(c.pick(((190, 22, 34), (206, 44, 40), (170, 30, 40), (200, 70, 60))), 12)
    post = c.tint(c.pick(((150, 154, 158), (104, 84, 64), (90, 110, 96))))
    b.polygon(
        [(-0.07, 0), (0.07, 0), (0.07, 3.4), (-0.07, 3.4)],
        Linear((-0.07, 0), (0.07, 0), (lighter(post, 0.4), post, darker(post))),
    )
    turn = TURN / 16
    for size, color in ((0.99, (120, 120, 122)), (0.97, (246, 244, 238)), (0.89, red)):
        b.polygon(ring(0, 0, size, size, turn, 8), color)
    high, bold = c.between(0.27, 0.33), c.between(0.075, 0.1)
    wide = 0.3
    for i, letter in enumerate("STOP"):
        cell = LETTERS[letter] * (wide, high) + (-0.76 + 0.4 * i, -high)
        b.line(cell, bold, (248, 246, 240))
    if c.happens(0.3):
        board = np.array([(-0.5, 1.05), (0.5, 1.05), (0.5, 1.3), (-0.5, 1.3)])
        b.polygon(board, (246, 244, 238))
        b.polygon(board * 0.94 + (0, 0.07), red)
        b.line([(-0.34, 1.175), (0.34, 1.175)], 0.07, (246, 244, 238))
    face = ring(0, 0, 0.99, 0.99, turn, 8)
    for _ in range(c.whole(0, 12)):  # rust, dents and scratches
        x, y = c.between(-0.8, 0.8), c.between(-0.8, 0.8)
        b.ellipse(
            x,
            y,
            c.between(0.01, 0.09),
            c.between(0.01, 0.05),
            (100, 60, 40),
            c.between(0, 3),
            opacity=0.5,
            blur=0.012,
            atop=True,
        )
    glare, dusk = c.whole(20, 110), c.whole(30, 120)
    b.polygon(
        face,
        Linear((-0.8, -0.9), (0.7, 0.9), ((255, 255, 255, glare), CLEAR, (0, 0, 0, dusk))),
        atop=True,
    )
    if c.happens(0.35):  # the shade of a tree
        for _ in range(14):
            b.ellipse(
                c.between(-1, 0.6),
                c.between(-1, 0.2),
                c.between(0.05, 0.25),
                c.between(0.05, 0.2),
                BLACK,
                opacity=0.28,
                blur=0.04,
                atop=True,
            )
    for y in (-0.78, 0.78):
        b.ellipse(0, y, 0.03, 0.03, (150, 150, 150))


@motif("sky meadow sand street studio sea", pose="free", tilt=38)
def umbrella(b: Brush, c: Chance) -> None:
    """Paint an open umbrella from the side: arched panels, a scalloped edge, a handle."""
    one = c.tint(
        c.pick(
            (
                (196, 40, 44),
                (40, 80, 150),
                (240, 190, 50),
                (60, 130, 90),
                (40, 40, 46),
                (190, 90, 150),
                (236, 120, 50),
            )
        ),
        18,
    )
    two = c.pick((one, one, c.tint((246, 242, 232)), c.tint((240, 190, 60)), lighter(one, 0.5)))
    panels, dome, skirt = c.whole(5, 9), c.between(0.62, 0.95), c.between(0.1, 0.22)
    top, low = -0.85, -0.85 + dome
    wood = c.tint(c.pick(((120, 76, 40), (40, 40, 44), (190, 190, 196))))
    end = c.between(0.75, 0.95)
    turns = np.linspace(math.pi, 0, panels + 1)
    b.ellipse(0, low, 0.98, skirt, darker(one, 0.68))
    for turn in turns[1:-1]:  # stretchers seen from below
        b.line(
            [(0, low - 0.02), (0.92 * math.cos(turn), low + skirt * 0.3)],
            0.014,
            (150, 150, 150),
            opacity=0.8,
        )
    b.line(
        [(0, top), (0, end)],
        0.045,
        Linear((-0.03, 0), (0.03, 0), (lighter(wood, 0.5), darker(wood, 0.3))),
    )
    if c.happens(0.75):
        b.line(
            curve(
                [
                    (0, end - 0.12),
                    (0, end),
                    (0.08, end + 0.11),
                    (0.2, end + 0.06),
                    (0.22, end - 0.04),
                ],
                closed=False,
            ),
            0.075,
            wood,
        )
        b.line(
            curve([(-0.012, end - 0.1), (-0.01, end), (0.07, end + 0.09)], closed=False),
            0.02,
            lighter(wood, 0.5),
        )
    else:
        b.line([(0, end - 0.15), (0, end + 0.06)], 0.09, wood)
    rise = np.linspace(0, math.pi / 2, 14)
    peak = c.between(0.85, 1.15)
    ribs = [
        np.column_stack(
            (
                0.98 * math.cos(t) * np.sin(rise) ** peak,
                top + dome * (1 - np.cos(rise)) + skirt * math.sin(t) * 0.5 * np.sin(rise),
            )
        )
        for t in turns
    ]
    light = [c.between(-0.06, 0.06) for _ in range(panels)]
    for i, (a, z) in enumerate(pairwise(ribs)):
        middle = (a[-1] + z[-1]) / 2 - (0, 0.07 + 0.05 * abs(z[-1][0] - a[-1][0]))
        hem = curve([a[-1], middle, z[-1]], closed=False)
        tone = (one, two)[i % 2]
        t = (i + 0.5) / panels
        tone = (
            lighter(tone, 0.22 - 0.5 * t)
            if t < 0.44
            else darker(tone, max(0.0, 0.75 * (t - 0.44) + light[i]))
        )
        panel = np.vstack((a, hem, z[::-1]))
        b.polygon(
            panel, Linear((0, top), (0, low), (lighter(tone, 0.18), tone, darker(tone, 0.25)))
        )
        b.line(a[2:], 0.01, darker(tone, 0.5), opacity=0.7)
    style = c.pick(("plain", "plain", "band", "dots"))
    if style == "band":
        for a, z in pairwise(ribs):
            middle = (a[-3] + z[-3]) / 2 - (0, 0.08)
            b.line(
                curve([a[-3], middle, z[-3]], closed=False), 0.05, lighter(two, 0.7), opacity=0.85
            )
    elif style == "dots":
        for rib, at in [(rib, at) for rib in ribs[1:-1] for at in (4, 7, 10)]:
            x, y = rib[at] + (0.09, 0)
            b.ellipse(x, y, 0.04, 0.045, lighter(two, 0.75), opacity=0.85, atop=True)
    b.line([(0, top), (0, top - 0.12)], 0.03, wood)
