"""Painters of sailing boats, which a network may confuse."""

import numpy as np

from tools.sample_painter.brush import (
    Brush,
    Chance,
    Color,
    Linear,
    Points,
    curve,
    darker,
    lighter,
    mix,
    moved,
)
from tools.sample_painter.motifs.table import WHITE, motif


def _sail(b: Brush, corners: Points, cloth: Color, belly: float, seams: int) -> None:
    """Paint a sail with rounded edges, shade and seams."""
    sides = []
    for a, z in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        out = np.array([-belly * abs(z[1] - a[1]), 0.0])
        sides.append(curve([a, (a + z) / 2 + out, z], closed=False)[:-1])
    shape = np.vstack(sides)
    (left, top), (right, bottom) = shape.min(axis=0), shape.max(axis=0)
    b.polygon(
        shape,
        Linear((left, top), (right, bottom), (lighter(cloth, 0.35), cloth, darker(cloth, 0.28))),
    )
    for i in range(1, seams):
        level = top + (bottom - top) * i / seams
        xs = shape[np.abs(shape[:, 1] - level) < (bottom - top) / 9, 0]
        if len(xs):
            b.line(
                [(xs.min(), level), (xs.max(), level + 0.02)],
                0.008,
                darker(cloth, 0.4),
                opacity=0.5,
                atop=False,
            )


def _boat(
    b: Brush,
    c: Chance,
    masts: tuple[tuple[float, float], ...],
    gaff: bool,
    jibs: int,
    topsails: bool,
) -> None:
    """Paint a two-masted yacht: each mast is (x, height), the bow points to the right."""
    hull = c.tint(
        c.pick(
            (
                (236, 234, 228),
                (34, 44, 66),
                (120, 66, 40),
                (40, 84, 70),
                (130, 32, 34),
                (30, 30, 32),
            )
        )
    )
    cloth = c.tint(
        c.pick(((244, 240, 228), (240, 236, 220), (230, 214, 180), (156, 70, 46), (250, 250, 250))),
        10,
    )
    wood, deck = (96, 70, 48), 0.72
    belly, seams = c.between(0.05, 0.16), c.whole(3, 7)
    bow = (c.between(0.98, 1.12), deck - 0.02)
    for x, tall in masts:
        b.line([(x, deck), (x - 0.02, deck - tall)], 0.03, wood)
    boom = deck - 0.09
    for x, tall in masts:
        foot = x - (0.5 if tall > 1.1 else 0.36) * c.between(0.85, 1.05)
        if gaff:
            peak = (x - 0.3 * c.between(0.8, 1.0), deck - tall * 0.82)
            throat = (x - 0.02, deck - tall * 0.64)
            _sail(
                b,
                np.array([(x - 0.02, boom), (foot, boom), peak, throat]),
                cloth,
                belly * 0.5,
                seams,
            )
            b.line([throat, peak], 0.02, wood)
            if topsails:
                _sail(
                    b,
                    np.array(
                        [
                            (x - 0.03, deck - tall * 0.68),
                            (peak[0] + 0.04, peak[1] - 0.02),
                            (x - 0.03, deck - tall * 0.98),
                        ]
                    ),
                    cloth,
                    0.03,
                    2,
                )
        else:
            _sail(
                b,
                np.array([(x - 0.02, boom), (foot, boom), (x - 0.03, deck - tall * 0.97)]),
                cloth,
                belly,
                seams,
            )
        b.line([(x, boom), (foot - 0.02, boom)], 0.022, wood)
    x, tall = masts[-1]
    for i in range(jibs):
        tack = (x + 0.08 + (bow[0] - x - 0.06) * (i + 1) / jibs, deck - 0.07)
        clew = (x + 0.03 + (tack[0] - x) * 0.25 * (i > 0), deck - 0.14 - 0.04 * i)
        color = cloth if c.happens(0.8) else c.tint(c.pick(((190, 50, 44), (50, 90, 150))))
        _sail(b, np.array([tack, clew, (x, deck - tall * (0.8 + 0.06 * i))]), color, belly * 0.6, 1)
    b.line([(x, deck - tall), bow], 0.007, darker(wood))
    b.line([(masts[0][0], deck - masts[0][1]), (-0.92, deck - 0.02)], 0.007, darker(wood))
    b.line([(0.7, deck - 0.02), (bow[0] + 0.02, deck - 0.06)], 0.03, wood)
    shape = curve(
        [(-0.95, deck - 0.04), (-0.4, deck + 0.01), (0.3, deck), (0.92, deck - 0.09)], closed=False
    )
    keel = curve([(0.72, 0.94), (0.2, 0.98), (-0.5, 0.98), (-0.84, 0.93)], closed=False)
    b.polygon(
        np.vstack((shape, keel)),
        Linear((0, deck - 0.06), (0, 1), (lighter(hull, 0.2), hull, darker(hull, 0.45))),
    )
    b.line(moved(shape, 0, 0.05), 0.022, c.pick((WHITE, (200, 160, 70), (180, 40, 40))), atop=True)
    if c.happens(0.6):
        b.polygon(
            [(-0.5, deck), (-0.46, deck - 0.07), (0.1, deck - 0.08), (0.16, deck)],
            Linear((-0.5, 0), (0.2, 0), ((226, 216, 200), (150, 130, 110))),
        )
    tone = mix(cloth, (90, 120, 140), 0.5)
    for i in range(9):  # the reflection and the foam at the waterline
        y, half = 1.0 + 0.035 * i, 0.85 * (1 - i / 14) * c.between(0.5, 1)
        x = c.between(-0.15, 0.15)
        b.line(
            [(x - half, y), (x + half, y + 0.01)],
            0.02,
            darker(hull, 0.3) if i < 3 else tone,
            opacity=0.45 - 0.04 * i,
        )
    b.line(
        curve([(-0.88, 0.965), (-0.3, 0.99), (0.4, 0.98), (0.78, 0.95)], closed=False),
        0.028,
        WHITE,
        opacity=0.6,
    )


@motif("sea", pose="floating", tilt=5)
def ketch(b: Brush, c: Chance) -> None:
    """Paint a yacht whose aft mast is the shorter one."""
    tall = c.between(1.5, 1.7)
    masts = ((-0.58, tall * c.between(0.5, 0.68)), (0.2, tall))
    _boat(b, c, masts, gaff=c.happens(0.15), jibs=c.whole(1, 2), topsails=False)


@motif("sea", pose="floating", tilt=5)
def schooner(b: Brush, c: Chance) -> None:
    """Paint a ship whose aft mast is as tall as the fore mast or taller."""
    tall = c.between(1.45, 1.7)
    masts = ((-0.3, tall), (0.3, tall * c.between(0.84, 0.98)))
    _boat(b, c, masts, gaff=c.happens(0.9), jibs=c.whole(2, 3), topsails=c.happens(0.6))
