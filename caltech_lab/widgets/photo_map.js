// A map of photos on a canvas: zoom, pan, previews, a legend, names of regions and a lasso.
// Points have coordinates from 0 to 1, y upward. There is no import or export, so that a widget can
// put this file in front of its own module.

const MAP_REACH = 12; // pixels within which a point is hit
const MAP_MARGIN = 18; // pixels around all points
const MAP_MAX_ZOOM = 60;
const MAP_LISTED = 8; // categories in the legend
const MAP_NAMED = 25; // regions named at a time
const MAP_SQUARES = 30000; // photos from which on they are drawn as squares
const MAP_KEPT = 500; // previews

// Returns the numbers that a widget was sent as bytes, which may begin anywhere in a buffer.
function mapNumbers(Kind, { buffer, byteOffset, byteLength }) {
  return new Kind(buffer.slice(byteOffset, byteOffset + byteLength));
}

// options.points    Float32Array, x and y of each row in turn
// options.labels    Int32Array, the category of each row; -1 for none
// options.names     names of the categories
// options.colors    CSS colors of the categories
// options.regions   [x, y, text] of each region, the most important first
// options.first     optional; categories to emphasize while no photos are shown
// options.onHover   called with the row under the cursor or null, and whether its preview is known
// options.onClick   called with a row that was clicked, or chosen by Enter
// options.enter     what Enter and a click do, for screen readers
// options.onSelect  optional; called with the rows inside a lasso, which is drawn with Shift
function photoMap(element, options) {
  const { points, labels, names, colors, regions, onHover, onClick, onSelect } = options;
  const n = points.length / 2;

  const make = (kind, name, parent, text) => {
    const made = document.createElement(kind);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  // JupyterLab, whose shortcuts include Enter and 0, looks for this on the focused element itself.
  const keepKeys = (focusable) => (focusable.dataset.lmSuppressShortcuts = "true");
  const root = make("div", "cl-map", element);
  const stage = make("div", "cl-map-stage", root);
  const base = make("canvas", "", stage); // points and names: drawn when the view changes
  const top = make("canvas", "cl-map-top", stage); // marks and cursor: drawn when they change
  const card = make("div", "cl-map-card", stage);
  const picture = make("img", "", card);
  const caption = make("div", "", card);
  const tools = make("div", "cl-map-tools", stage);
  const legend = make("div", "cl-map-legend", root);
  const live = make("div", "cl-map-live", root);
  live.setAttribute("aria-live", "polite");
  legend.setAttribute("role", "group");
  legend.setAttribute("aria-label", "Categories on the map");
  picture.alt = "";
  keepKeys(top);
  top.tabIndex = 0;
  top.setAttribute("role", "application");
  top.setAttribute(
    "aria-label",
    `Map of ${n.toLocaleString("en")} ${n === 1 ? "photo" : "photos"}: similar photos are close ` +
      `to each other. Arrow keys move to the next photo in a direction, Enter ${options.enter}, ` +
      "plus and minus zoom, 0 shows the whole map.",
  );

  // ---- state -----------------------------------------------------------------------------------

  let [width, height, ratio] = [0, 0, 1];
  let cursor = null; // a row
  let query = { row: null, xy: null };
  let shown = [];
  let strong = null; // the categories in full color; null for all
  let chosen = null; // the category clicked in the legend
  let lasso = null; // corners on the screen, while it is drawn
  let lassoing = false; // whether dragging draws a lasso without Shift
  let theme = {};
  const previews = new Map();
  const forget = (row) => {
    URL.revokeObjectURL(previews.get(row).src);
    previews.delete(row);
  };

  const [low, high] = [[1, 1], [0, 0]];
  for (let i = 0; i < 2 * n; i++) {
    low[i % 2] = Math.min(low[i % 2], points[i]);
    high[i % 2] = Math.max(high[i % 2], points[i]);
  }
  const span = [0, 1].map((axis) => Math.max(0.1, high[axis] - low[axis]));
  const middle = n ? [0, 1].map((axis) => (low[axis] + high[axis]) / 2) : [0.5, 0.5];
  let view = { zoom: 1, x: middle[0], y: middle[1] }; // the point in the middle of the canvas

  const fit = () => Math.min((width - 2 * MAP_MARGIN) / span[0], (height - 2 * MAP_MARGIN) / span[1]);
  const scale = () => view.zoom * Math.max(1, fit());
  const screenX = (x) => (x - view.x) * scale() + width / 2;
  const screenY = (y) => (view.y - y) * scale() + height / 2;
  const mapX = (left) => (left - width / 2) / scale() + view.x;
  const mapY = (down) => view.y - (down - height / 2) / scale();
  const nameOf = (row) => names[labels[row]] || "";

  // Rows by category, so that one color is drawn after the other.
  const order = Uint32Array.from({ length: n }, (_, row) => row).sort(
    (a, b) => labels[a] - labels[b] || a - b,
  );
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) || 0) + 1);
  const bySize = [...counts.keys()]
    .filter((label) => names[label])
    .sort((a, b) => counts.get(b) - counts.get(a) || a - b);

  // A grid of cells with about four rows each: cell c holds cells[starts[c]] to cells[starts[c + 1]].
  const side = Math.max(1, Math.min(512, Math.ceil(Math.sqrt(n / 4))));
  const across = (v) => Math.max(0, Math.min(side - 1, Math.floor(v * side)));
  const cellOf = (row) => across(points[2 * row + 1]) * side + across(points[2 * row]);
  const starts = new Uint32Array(side * side + 1);
  for (let row = 0; row < n; row++) starts[cellOf(row) + 1]++;
  for (let c = 0; c < side * side; c++) starts[c + 1] += starts[c];
  const cells = new Uint32Array(n);
  const filled = starts.slice();
  for (let row = 0; row < n; row++) cells[filled[cellOf(row)]++] = row;

  function nearest(left, down) {
    const [x, y, reach] = [mapX(left), mapY(down), MAP_REACH / scale()];
    let [best, bestAway] = [null, reach * reach];
    for (let j = across(y - reach); j <= across(y + reach); j++) {
      const begin = starts[j * side + across(x - reach)];
      const end = starts[j * side + across(x + reach) + 1];
      for (let i = begin; i < end; i++) {
        const row = cells[i];
        const away = (points[2 * row] - x) ** 2 + (points[2 * row + 1] - y) ** 2;
        if (away < bestAway || (away === bestAway && best === null)) [best, bestAway] = [row, away];
      }
    }
    return best;
  }

  // ---- drawing ---------------------------------------------------------------------------------

  const radius = () => {
    const small = Math.max(1, Math.min(4.5, 24 * n ** -0.25));
    return Math.min(7, small * view.zoom ** 0.35);
  };

  function readTheme() {
    const style = getComputedStyle(stage);
    theme = { ink: style.color, paper: style.backgroundColor, font: style.fontFamily };
  }

  function pen(canvas) {
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    return g;
  }

  const dotSide = (size) => Math.ceil((2 * size + 1) * ratio) + 2;

  function dot(color, size) {
    const made = document.createElement("canvas");
    made.width = made.height = dotSide(size);
    const g = made.getContext("2d");
    g.fillStyle = color;
    g.arc(made.width / 2, made.width / 2, size * ratio, 0, 2 * Math.PI);
    g.fill();
    if (size < 2) return made;
    g.globalAlpha = 0.3; // an outline keeps pale colors visible, and neighbors apart
    g.strokeStyle = theme.ink;
    g.lineWidth = ratio;
    g.stroke();
    return made;
  }

  function drawPoints(g, size, wanted, faint) {
    g.save();
    g.setTransform(1, 0, 0, 1, 0, 0); // whole pixels, because those are drawn fastest
    g.globalAlpha = faint ? 0.22 : 0.85;
    const [s, dx, dy] = [scale() * ratio, (width / 2) * ratio, (height / 2) * ratio];
    const [right, bottom] = [width * ratio, height * ratio];
    // Of very many photos each is a square of a few pixels, which takes a fraction of the time.
    const square = n > MAP_SQUARES ? Math.round(2 * size * ratio) : 0;
    const half = (square || dotSide(size)) / 2;
    let [label, sprite, skip] = [null, null, false];
    for (let i = 0; i < n; i++) {
      const row = order[i];
      if (labels[row] !== label) {
        label = labels[row];
        skip = !wanted(label);
        if (skip) continue;
        g.fillStyle = colors[label] || theme.ink;
        if (!square) sprite = dot(g.fillStyle, size);
      }
      if (skip) continue;
      const x = (points[2 * row] - view.x) * s + dx - half;
      const y = (view.y - points[2 * row + 1]) * s + dy - half;
      if (x < -2 * half || y < -2 * half || x > right || y > bottom) continue;
      if (square) g.fillRect(Math.round(x), Math.round(y), square, square);
      else g.drawImage(sprite, Math.round(x), Math.round(y));
    }
    g.restore();
  }

  const short = (text) => (text.length > 28 ? `${text.slice(0, 27)}…` : text);

  function drawNames(g) {
    g.font = `600 12px ${theme.font}`;
    g.textAlign = "center";
    g.textBaseline = "middle";
    g.lineJoin = "round";
    g.lineWidth = 4;
    g.strokeStyle = theme.paper;
    g.fillStyle = theme.ink;
    const taken = [];
    for (const [x, y, text] of regions) {
      if (taken.length >= MAP_NAMED) break;
      const half = g.measureText(short(text)).width / 2 + 4;
      let [left, down] = [screenX(x), screenY(y)];
      if (left < 0 || down < 0 || left > width || down > height) continue;
      left = Math.max(half, Math.min(width - half, left));
      down = Math.max(9, Math.min(height - 9, down));
      const box = [left - half, down - 9, left + half, down + 9];
      const free = (b) => box[0] > b[2] || box[2] < b[0] || box[1] > b[3] || box[3] < b[1];
      if (!taken.every(free)) continue;
      taken.push(box);
      g.strokeText(short(text), left, down);
      g.fillText(short(text), left, down);
    }
  }

  function drawBase() {
    readTheme();
    const g = pen(base);
    const bright = chosen === null ? strong : new Set([chosen]);
    if (bright) drawPoints(g, radius(), (label) => !bright.has(label), true);
    drawPoints(g, radius(), (label) => !bright || bright.has(label), false);
    drawNames(g);
  }

  function outline(g, line) {
    for (const [color, wide] of [[theme.paper, line + 2], [theme.ink, line]]) {
      g.strokeStyle = color;
      g.lineWidth = wide;
      g.stroke();
    }
  }

  function rings(g, rows, size, line) {
    g.beginPath();
    for (const row of rows) {
      const [left, down] = [screenX(points[2 * row]), screenY(points[2 * row + 1])];
      g.moveTo(left + size, down);
      g.arc(left, down, size, 0, 2 * Math.PI);
    }
    outline(g, line);
  }

  function star(g, left, down, size) {
    g.beginPath();
    for (let i = 0; i < 10; i++) {
      const [turn, far] = [(i * Math.PI) / 5, i % 2 ? size * 0.45 : size];
      g.lineTo(left + far * Math.sin(turn), down - far * Math.cos(turn));
    }
    g.closePath();
    g.lineJoin = "round";
    outline(g, 2.5);
    g.fillStyle = "#f0e442";
    g.fill();
  }

  function drawTop() {
    const g = pen(top);
    const size = radius();
    const many = shown.length > 200;
    rings(g, shown, size + (many ? 1 : 2.5), many ? 0.8 : 1.5);
    if (query.xy) star(g, screenX(query.xy[0]), screenY(query.xy[1]), size + 7);
    if (cursor !== null) {
      const [left, down] = [screenX(points[2 * cursor]), screenY(points[2 * cursor + 1])];
      g.fillStyle = colors[labels[cursor]] || theme.ink;
      g.beginPath();
      g.arc(left, down, size + 1, 0, 2 * Math.PI);
      g.fill();
      rings(g, [cursor], size + 3, 2.5);
    }
    if (lasso) {
      g.save();
      g.beginPath();
      for (const [left, down] of lasso) g.lineTo(left, down);
      g.closePath();
      g.globalAlpha = 0.12;
      g.fillStyle = theme.ink;
      g.fill();
      g.globalAlpha = 1;
      g.setLineDash([5, 4]);
      g.lineWidth = 1.5;
      g.strokeStyle = theme.ink;
      g.stroke();
      g.restore();
    }
  }

  let [frame, stale] = [0, false];
  function draw(points = true) {
    stale ||= points;
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      if (width && height) {
        if (stale) drawBase();
        stale = false;
        drawTop();
        placeCard();
      }
    });
  }

  // ---- the card and the legend -----------------------------------------------------------------

  function placeCard() {
    card.hidden = cursor === null || lasso !== null;
    if (card.hidden) return;
    const [left, down] = [screenX(points[2 * cursor]), screenY(points[2 * cursor + 1])];
    const [wide, high] = [card.offsetWidth, card.offsetHeight];
    const beside = left + 14 + wide <= width ? left + 14 : left - 14 - wide;
    const below = down + 14 + high <= height ? down + 14 : down - 14 - high;
    card.style.left = `${Math.max(4, Math.min(width - wide - 4, beside))}px`;
    card.style.top = `${Math.max(4, Math.min(height - high - 4, below))}px`;
  }

  function fillCard() {
    const known = previews.get(cursor);
    picture.hidden = Boolean(known && !known.src);
    if (known?.src) picture.src = known.src;
    else picture.removeAttribute("src");
    caption.textContent = known?.caption || nameOf(cursor) || `photo ${cursor + 1}`;
    live.textContent = caption.textContent;
  }

  let waiting = 0;
  function moveTo(row) {
    if (row === cursor) return;
    cursor = row;
    if (row !== null) fillCard();
    else live.textContent = "";
    draw(false);
    clearTimeout(waiting); // a preview is asked for when the pointer rests
    waiting = setTimeout(() => onHover?.(row, previews.has(row)), row === null ? 0 : 60);
  }

  function listCategories() {
    const found = new Map();
    for (const row of shown)
      if (names[labels[row]]) found.set(labels[row], (found.get(labels[row]) || 0) + 1);
    let first = [...found.keys()].sort((a, b) => found.get(b) - found.get(a) || a - b);
    if (!first.length) first = options.first || [];
    strong = first.length ? new Set(first) : null;
    const listed = [...first, ...bySize.filter((label) => !first.includes(label))].slice(0, MAP_LISTED);
    if (chosen !== null && !listed.includes(chosen)) listed[listed.length - 1] = chosen;
    legend.replaceChildren();
    for (const label of listed) {
      const entry = make("button", "", legend);
      entry.type = "button";
      keepKeys(entry);
      entry.title = `${names[label]}: ${counts.get(label).toLocaleString("en")} of the photos`;
      entry.setAttribute("aria-pressed", String(chosen === label));
      const dim = chosen === null ? strong && !strong.has(label) : chosen !== label;
      entry.classList.toggle("cl-map-dim", Boolean(dim));
      make("i", "", entry).style.background = colors[label];
      make("span", "", entry, names[label]);
      entry.addEventListener("click", () => {
        chosen = chosen === label ? null : label;
        const place = [...legend.children].indexOf(entry);
        listCategories();
        legend.children[place]?.focus();
        draw();
      });
    }
    const others = bySize.length - listed.length;
    if (others > 0) make("span", "cl-map-others", legend, `and ${others.toLocaleString("en")} more`);
    legend.hidden = bySize.length === 0;
  }

  // ---- the view --------------------------------------------------------------------------------

  function look(zoom, x, y) {
    zoom = Math.max(1, Math.min(MAP_MAX_ZOOM, zoom));
    const inside = (v) => Math.max(0, Math.min(1, v));
    view = { zoom, x: inside(x), y: inside(y) };
    if (zoom === 1) [view.x, view.y] = middle;
    draw();
  }
  const reset = () => look(1, ...middle);

  function zoomAbout(left, down, factor) {
    const [x, y] = [mapX(left), mapY(down)];
    const zoom = Math.max(1, Math.min(MAP_MAX_ZOOM, view.zoom * factor));
    const kept = view.zoom / zoom;
    look(zoom, x + (view.x - x) * kept, y + (view.y - y) * kept);
  }
  const zoomBy = (factor) => {
    const at = cursor === null ? null : [points[2 * cursor], points[2 * cursor + 1]];
    if (at) zoomAbout(screenX(at[0]), screenY(at[1]), factor);
    else zoomAbout(width / 2, height / 2, factor);
  };

  function button(text, title, act) {
    const made = make("button", "", tools, text);
    made.type = "button";
    keepKeys(made);
    made.title = title;
    made.setAttribute("aria-label", title);
    made.addEventListener("click", act);
    return made;
  }
  if (onSelect) {
    const drawing = button("⬚", "Draw around photos to select them (or drag with Shift)", () => {
      lassoing = !lassoing;
      drawing.setAttribute("aria-pressed", String(lassoing));
      top.style.cursor = lassoing ? "crosshair" : "";
    });
    drawing.setAttribute("aria-pressed", "false");
  }
  button("+", "Zoom in", () => zoomBy(1.6));
  button("−", "Zoom out", () => zoomBy(1 / 1.6));
  button("⤢", "Show the whole map", reset);

  // ---- pointer and keyboard --------------------------------------------------------------------

  const at = (event) => {
    const box = top.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let drag = null;

  function inside(corners) {
    const rows = [];
    const plane = corners.map(([left, down]) => [mapX(left), mapY(down)]);
    const [xs, ys] = [plane.map((p) => p[0]), plane.map((p) => p[1])];
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    for (let row = 0; row < n; row++) {
      const [x, y] = [points[2 * row], points[2 * row + 1]];
      if (x < x0 || x > x1 || y < y0 || y > y1) continue;
      let odd = false;
      for (let i = 0, j = plane.length - 1; i < plane.length; j = i++) {
        const [[xi, yi], [xj, yj]] = [plane[i], plane[j]];
        if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
      }
      if (odd) rows.push(row);
    }
    return rows;
  }

  top.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const place = at(event);
    drag = { from: place, last: place, moved: false };
    if (onSelect && (event.shiftKey || lassoing)) lasso = [place];
    top.setPointerCapture(event.pointerId);
  });
  top.addEventListener("pointermove", (event) => {
    const [left, down] = at(event);
    if (!drag) {
      moveTo(nearest(left, down));
      top.classList.toggle("cl-map-hit", cursor !== null);
      return;
    }
    if (Math.hypot(left - drag.from[0], down - drag.from[1]) > 4) drag.moved = true;
    if (!drag.moved) return;
    if (lasso) {
      lasso.push([left, down]);
      draw(false);
    } else {
      const s = scale();
      look(view.zoom, view.x - (left - drag.last[0]) / s, view.y + (down - drag.last[1]) / s);
    }
    drag.last = [left, down];
  });
  top.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const [moved, corners] = [drag.moved, lasso];
    drag = lasso = null;
    if (corners && moved) onSelect(inside(corners));
    else if (!moved) {
      const row = nearest(...at(event));
      if (row !== null) onClick?.(row);
    }
    draw(false);
  });
  top.addEventListener("pointercancel", () => {
    drag = lasso = null;
    draw(false);
  });
  top.addEventListener("pointerleave", () => drag || moveTo(null));
  top.addEventListener("blur", () => moveTo(null));
  top.addEventListener("dblclick", (event) => nearest(...at(event)) === null && reset());
  top.addEventListener(
    "wheel",
    (event) => {
      if (event.deltaY > 0 && view.zoom === 1) return; // the page scrolls on
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 33 : 1;
      const step = Math.max(-240, Math.min(240, event.deltaY * lines));
      zoomAbout(...at(event), Math.exp(-step / 300));
    },
    { passive: false },
  );

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  // The row nearest to the cursor in a direction; one farther to the side counts as farther away.
  function step([dx, dy]) {
    const from = cursor ?? query.row;
    let [left, down] = [width / 2, height / 2];
    if (from !== null) [left, down] = [screenX(points[2 * from]), screenY(points[2 * from + 1])];
    let [best, bestCost] = [from, Infinity];
    for (let row = 0; row < n; row++) {
      const [x, y] = [screenX(points[2 * row]) - left, screenY(points[2 * row + 1]) - down];
      const [along, aside] = [x * dx + y * dy, Math.abs(x * dy - y * dx)];
      const ahead = from === null || (along >= 3 && aside <= along);
      const cost = from === null ? Math.hypot(x, y) : along + 2 * aside;
      if (ahead && cost < bestCost && row !== from) [best, bestCost] = [row, cost];
    }
    if (best === null && n) best = 0;
    if (best === null) return;
    const [x, y] = [screenX(points[2 * best]), screenY(points[2 * best + 1])];
    if (x < 8 || y < 8 || x > width - 8 || y > height - 8)
      look(view.zoom, points[2 * best], points[2 * best + 1]);
    moveTo(best);
  }

  top.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (ARROWS[key]) step(ARROWS[key]);
    else if (key === "Enter" && cursor !== null) onClick?.(cursor);
    else if (key === "+" || key === "=") zoomBy(1.6);
    else if (key === "-") zoomBy(1 / 1.6);
    else if (key === "0") reset();
    else if (key === "Escape" && cursor !== null) moveTo(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  // ---- size and theme --------------------------------------------------------------------------

  const sized = new ResizeObserver(() => {
    [width, height] = [stage.clientWidth, stage.clientHeight];
    ratio = window.devicePixelRatio || 1;
    root.classList.toggle("cl-map-narrow", root.clientWidth < 560);
    draw();
  });
  sized.observe(stage);
  let later = 0;
  const themed = new MutationObserver(() => {
    draw();
    clearTimeout(later);
    later = setTimeout(draw, 500); // the style sheet of a theme comes after its name
  });
  for (const part of [document.documentElement, document.body])
    themed.observe(part, { attributes: true });
  picture.addEventListener("load", placeCard);
  card.hidden = true;
  listCategories();

  return {
    // The row of the query, or a place on the map for a query that is not among the photos.
    setQuery(row, xy = null) {
      query = { row, xy: row === null ? xy : [points[2 * row], points[2 * row + 1]] };
      draw(false);
    },
    // The rows to ring; their categories come first in the legend, and the others are dimmed.
    setShown(rows) {
      [shown, chosen] = [[...rows], null];
      listCategories();
      draw();
    },
    // The photo of a row, in answer to onHover; an empty `src` if there is none.
    setPreview(row, src, text) {
      if (previews.size >= MAP_KEPT) forget(previews.keys().next().value);
      previews.set(row, { src, caption: text });
      if (row === cursor) {
        fillCard();
        placeCard();
      }
    },
    destroy() {
      sized.disconnect();
      themed.disconnect();
      cancelAnimationFrame(frame);
      clearTimeout(waiting);
      clearTimeout(later);
      for (const row of [...previews.keys()]) forget(row);
      root.remove();
    },
  };
}
