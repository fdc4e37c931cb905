"""Painters of animals."""

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
)
from tools.sample_painter.motifs.table import CLEAR, TURN, motif

WINGS: tuple[tuple[Color, Color, Color, Color], ...] = (  # border, cells, glow, spots
    ((24, 18, 16), (232, 120, 24), (250, 180, 60), (250, 245, 230)),
    ((14, 18, 34), (30, 96, 200), (110, 190, 250), (230, 240, 255)),
    ((30, 26, 18), (240, 208, 70), (252, 236, 150), (60, 110, 190)),
    ((90, 88, 84), (236, 234, 222), (252, 252, 244), (40, 40, 40)),
    ((44, 20, 22), (170, 50, 40), (220, 120, 70), (120, 150, 220)),
    ((20, 34, 24), (70, 150, 90), (170, 220, 130), (240, 240, 200)),
)


@motif("garden meadow studio lawn room", pose="free", tilt=35)
def butterfly(b: Brush, c: Chance) -> None:
    """Paint two pairs of wings with a border, cells and spots, around a slim body."""
    edge, inner, glow, spot = c.pick(WINGS)
    edge, inner, glow = c.tint(edge), c.tint(inner, 22), c.tint(glow, 22)
    top, reach, tail = c.between(0.62, 0.9), c.between(0.85, 1.0), c.between(0, 0.35)
    upper = curve(
        [
            (0.02, -0.12),
            (0.3, -0.55),
            (0.72 * reach, -top),
            (reach, -top + 0.1),
            (0.92 * reach, -0.3),
            (0.72, 0.02),
            (0.3, 0.08),
        ]
    )
    lower = curve(
        [
            (0.03, 0.0),
            (0.4, 0.02),
            (0.72, 0.12),
            (0.78, 0.45),
            (0.55, 0.72),
            (0.42, 0.74 + tail),
            (0.3, 0.66),
            (0.1, 0.3),
        ]
    )
    fold = c.pick((1.0, 1.0, c.between(0.45, 0.9)))
    cells, spots = c.whole(4, 7), c.whole(0, 9)
    eyes = c.happens(0.4)
    for side in (-1.0, fold):
        flip = np.array([side, 1.0])
        for wing, hub in ((lower, (0.08, 0.05)), (upper, (0.06, -0.06))):
            shape = wing * flip
            root = np.array(hub) * flip
            b.polygon(shape, edge)
            panel = root + (shape - root) * 0.86
            b.polygon(
                panel, Radial((root[0], root[1]), 0.95, (darker(inner, 0.25), inner, glow, inner))
            )
            for i in range(cells):
                target = shape[int(len(shape) * (0.2 + 0.6 * i / cells))]
                b.line(
                    curve([root, root + (target - root) * 0.5 + (0, -0.02), target], closed=False),
                    0.018,
                    edge,
                )
            for i in range(spots):
                x, y = (
                    root + (shape[int(len(shape) * (0.22 + 0.5 * i / max(spots, 1)))] - root) * 0.93
                )
                b.ellipse(x, y, 0.028, 0.028, spot)
            if eyes:
                x, y = root + (shape[len(shape) * 9 // 20] - root) * 0.62
                for r, color in ((0.12, edge), (0.09, spot), (0.05, edge)):
                    b.ellipse(x, y, r * abs(side), r, color)
            b.polygon(
                shape,
                Linear((0, -0.9), (0, 0.9), ((255, 255, 255, 50), CLEAR, (0, 0, 0, 70))),
                atop=True,
            )
        b.line([(0, -0.5), (0.05 * side, -0.6), (0.22 * side, -0.86)], 0.014, edge)
        b.ellipse(0.22 * side, -0.87, 0.025, 0.025, edge)
    b.ellipse(
        0, 0.16, 0.055, 0.42, Linear((-0.06, 0), (0.06, 0), (lighter(edge, 0.35), darker(edge)))
    )
    b.ellipse(
        0, -0.2, 0.075, 0.2, Linear((-0.08, 0), (0.08, 0), (lighter(edge, 0.45), darker(edge)))
    )
    b.ellipse(0, -0.45, 0.06, 0.07, edge)


@motif("sand sand shallows shallows stone", pose="lying", tilt=180)
def starfish(b: Brush, c: Chance) -> None:
    """Paint five bent arms, rounded, with rows of knobs."""
    skin = c.tint(
        c.pick(
            (
                (214, 96, 52),
                (190, 60, 60),
                (226, 160, 90),
                (110, 80, 140),
                (70, 110, 160),
                (160, 120, 80),
            )
        ),
        22,
    )
    dots = c.pick((lighter(skin, 0.6), darker(skin, 0.5), (240, 220, 180)))
    arms = 5 if c.happens(0.9) else 6
    thick, waist = c.between(0.1, 0.19), c.between(0.26, 0.4)
    spines: list[tuple[Points, Points]] = []
    outline: list[Points] = []
    for i in range(arms):
        turn, bend, long = (
            TURN * i / arms - TURN / 4 + c.between(-0.1, 0.1),
            c.between(-0.28, 0.28),
            c.between(0.86, 1.0),
        )
        t = np.linspace(0, 1, 7)
        spine = np.column_stack(
            (long * t * np.cos(turn + bend * t**2), long * t * np.sin(turn + bend * t**2))
        )
        way = turn + bend * 1.6
        across = np.array([-math.sin(way), math.cos(way)])
        tip, middle = spine[-1], spine[4]
        outline += [
            middle - across * thick,
            tip - across * thick * 0.45,
            tip + 0.04 * np.array([math.cos(way), math.sin(way)]),
            tip + across * thick * 0.45,
            middle + across * thick,
        ]
        gap = turn + math.pi / arms
        outline.append(np.array([waist * math.cos(gap), waist * math.sin(gap)]))
        spines.append((spine, across))
    shape = curve(outline, steps=8)
    b.polygon(shape, Radial((0, 0), 1.0, (lighter(skin, 0.25), skin, darker(skin, 0.15))))
    b.polygon(
        np.vstack((shape, shape[:1])),
        darker(skin, 0.6),
        opacity=0.75,
        blur=0.05,
        atop=True,
        width=0.1,
    )
    for spine, across in spines:
        b.line(
            spine[1:-1] - (0.02, 0.025),
            thick * 0.7,
            lighter(skin, 0.5),
            opacity=0.45,
            blur=0.04,
            atop=True,
        )
        for t in np.linspace(0.08, 0.95, 13):
            x, y = (np.interp(t, np.linspace(0, 1, 7), spine[:, k]) for k in (0, 1))
            b.ellipse(x, y, 0.026 * (1.3 - t), 0.026 * (1.3 - t), dots)
            for side in (-1, 1):
                off = across * side * thick * (1.1 - 0.75 * t) * c.between(0.4, 0.7)
                b.ellipse(x + off[0], y + off[1], 0.016, 0.016, dots, opacity=0.8, atop=True)
    for _ in range(60):
        turn, r = c.between(0, TURN), c.between(0.05, 0.9)
        b.ellipse(
            r * math.cos(turn),
            r * math.sin(turn),
            0.014,
            0.014,
            darker(skin, 0.35),
            opacity=0.6,
            atop=True,
        )
