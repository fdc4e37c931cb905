// A photo with a layer on top: a box that can be drawn, a heat map, an outlined region.
// Coordinates are fractions of width and height, from the left and from the top.
function layeredPhoto({ onBox, onPoint }) {
  const img = element("img", "", { alt: "" });
  const canvas = element("canvas", "", { "aria-hidden": "true" });
  const frame = element("div", "cl-layered", {}, img, canvas);
  let shown = { heat: [], frame: [0, 0, 1, 1], region: [] };
  let box = [];
  let drag = null;

  const outline = (g, l, t, r, b) => {
    for (const [color, width] of [["#fff", 4], ["#d55e00", 2]]) {
      g.strokeStyle = color;
      g.lineWidth = width;
      g.strokeRect(l, t, r - l, b - t);
    }
  };
  const darken = (g, w, h, [l, t, r, b], shade) => {
    g.fillStyle = `rgba(0, 0, 0, ${shade})`;
    g.fillRect(0, 0, w, h);
    g.clearRect(l * w, t * h, (r - l) * w, (b - t) * h);
  };
  const draw = () => {
    const [w, h] = [img.clientWidth, img.clientHeight];
    const scale = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [w * scale, h * scale];
    const g = canvas.getContext("2d");
    g.scale(scale, scale);
    if (shown.heat.length) {
      const [l, t, r, b] = shown.frame;
      const small = document.createElement("canvas");
      [small.width, small.height] = [shown.heat[0].length, shown.heat.length];
      const pixels = small.getContext("2d");
      shown.heat.forEach((row, y) =>
        row.forEach((value, x) => {
          pixels.fillStyle = `rgba(0, 0, 0, ${0.82 * (1 - value)})`;
          pixels.fillRect(x, y, 1, 1);
        }),
      );
      darken(g, w, h, shown.frame, 0.82);
      g.imageSmoothingQuality = "high";
      g.drawImage(small, l * w, t * h, (r - l) * w, (b - t) * h);
    }
    const drawn = drag?.box ?? box;
    if (drawn.length) darken(g, w, h, drawn, 0.55);
    for (const [l, t, r, b] of [drawn, shown.region].filter((place) => place.length))
      outline(g, l * w, t * h, r * w, b * h);
  };

  const at = (event) => {
    const place = img.getBoundingClientRect();
    const inside = (v) => Math.min(1, Math.max(0, v));
    return [
      inside((event.clientX - place.left) / place.width),
      inside((event.clientY - place.top) / place.height),
    ];
  };
  canvas.addEventListener("pointerdown", (event) => {
    drag = { from: at(event), x: event.clientX, y: event.clientY, box: null };
    if (onBox) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || !onBox) return;
    if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 6) return;
    const [[x0, y0], [x1, y1]] = [drag.from, at(event)];
    drag.box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drag) return;
    if (drag.box) onBox((box = drag.box));
    else if (onPoint) onPoint(...at(event));
    drag = null;
    draw();
  });
  canvas.addEventListener("pointercancel", () => ((drag = null), draw()));
  // Arrow keys choose a region, which takes a mouse otherwise.
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const choose = (event) => {
    const step = steps[event.key];
    if (!step || !shown.heat.length) return;
    event.preventDefault();
    const [l, t, r, b] = shown.frame;
    const counts = [shown.heat[0].length, shown.heat.length];
    const sides = [(r - l) / counts[0], (b - t) / counts[1]];
    const from = shown.region.length ? shown.region : [(l + r) / 2, (t + b) / 2];
    const place = [0, 1].map((axis) => {
      const now = Math.floor((from[axis] - [l, t][axis]) / sides[axis] + 0.01);
      const goal = Math.min(counts[axis] - 1, Math.max(0, now + step[axis]));
      return [l, t][axis] + (goal + 0.5) * sides[axis];
    });
    onPoint(...place);
  };
  if (onPoint) {
    canvas.removeAttribute("aria-hidden");
    canvas.tabIndex = 0;
    canvas.dataset.lmSuppressShortcuts = "true";
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Regions of the query: arrow keys choose one");
    canvas.addEventListener("keydown", choose);
  }
  if (onBox) canvas.style.touchAction = "none"; // dragging draws there, and does not scroll
  img.addEventListener("load", draw);
  const watch = new ResizeObserver(draw);
  watch.observe(img);

  return {
    node: frame,
    // A new box for the keyboard, which cannot drag: the middle half of the photo.
    middle: () => onBox((box = [0.25, 0.25, 0.75, 0.75]), draw()),
    set: ({ src, alt, heat = [], frame: seen = [0, 0, 1, 1], region = [] }) => {
      [img.src, img.alt] = [src, alt];
      shown = { heat, frame: seen, region };
      box = [];
      canvas.style.cursor = onBox || onPoint ? "crosshair" : "";
      draw();
    },
    destroy: () => watch.disconnect(),
  };
}
