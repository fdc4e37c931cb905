// The results: square tiles with one line of caption, details and buttons on hover or focus.
// Arrow keys move between tiles; the letters in KEYS act on the tile in focus.
const KEYS = { g: "good", b: "bad", w: "why", a: "add", s: "subtract", " ": "open" };

function tiles({ act, explains }) {
  const list = element("ul", "cl-tiles", { "aria-label": "Results" });
  const byRow = new Map();
  let rows = [];

  const actions = [
    ["good", "good", (n) => `Mark ${n} as good: similar photos are ranked higher`],
    ["bad", "bad", (n) => `Mark ${n} as bad: it is removed, and similar photos are ranked lower`],
    ["why", "why?", (n) => `Show which regions make ${n} similar`],
    ["add", "+", (n) => `Add ${n} to the query`],
    ["subtract", "−", (n) => `Subtract ${n} from the query`],
    ["open", "⤢", (n) => `Enlarge ${n}`],
  ].filter(([name]) => name !== "why" || explains);

  // Only the tile in focus and its buttons are stops of the tab key.
  const stop = (row) => {
    for (const [other, tile] of byRow)
      for (const node of tile.querySelectorAll("button")) node.tabIndex = other === row ? 0 : -1;
  };
  const focus = (row) => byRow.get(row)?.querySelector("button").focus();

  const moved = (event) => {
    const tile = event.target.closest("li");
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.repeat && event.key in KEYS) return; // a key that is held down acts once
    const row = Number(tile.dataset.row);
    const place = rows.indexOf(row);
    const columns = rows.filter((r) => byRow.get(r).offsetTop === list.firstChild.offsetTop).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const goal = { Home: 0, End: rows.length - 1 }[event.key] ?? place + (steps[event.key] ?? 0);
    if (event.key in steps || event.key === "Home" || event.key === "End") {
      if (rows[goal] !== undefined) focus(rows[goal]);
    } else if (event.key in KEYS && actions.some(([name]) => name === KEYS[event.key])) {
      if (event.key === " " && event.target.className !== "cl-tile-photo") return;
      act(KEYS[event.key], row);
    } else return;
    event.preventDefault();
  };
  list.addEventListener("keydown", moved);
  list.addEventListener("focusin", (event) => {
    const tile = event.target.closest("li");
    if (tile) stop(Number(tile.dataset.row));
  });

  const draw = (tile, item) => {
    const title = `result ${item.rank}, ${item.name}`;
    const facts = [item.path, `cosine ${item.cosine}`];
    if (item.chance) facts.push(`same category ${item.chance}`);
    const picture = item.src
      ? element("img", "", { src: item.src, alt: `Result ${item.rank}: ${item.name}` })
      : element("span", "cl-gone", {}, "This file can no longer be read.");
    const photo = button(
      picture,
      { title: `Search with this photo: ${facts.join(", ")}`, onclick: () => act("search", item.row) },
      "cl-tile-photo",
    );
    const marks = actions.map(([name, label, words]) =>
      button(
        label,
        {
          title: words(title),
          "aria-label": words(title),
          onclick: () => act(name, item.row),
          ...(["good", "bad"].includes(name) && { "aria-pressed": String(item.mark === name) }),
        },
        `cl-act cl-act-${name}`,
      ),
    );
    const details = element(
      "div",
      "cl-tile-details",
      {},
      element("span", "cl-path", {}, item.path),
      element("span", "", {}, `cosine ${item.cosine}`),
      element("div", "cl-acts", {}, ...marks),
    );
    const other = item.predicted
      ? [element("span", "cl-other", { title: "The classifier's prediction" }, `classifier: ${item.predicted}`)]
      : [];
    const caption = element(
      "div",
      "cl-caption",
      {},
      element("span", "cl-rank", {}, String(item.rank)),
      element("span", "cl-name", { title: item.name }, item.name),
      element("span", "cl-chance", { title: "Probability of the same category" }, item.chance ?? item.cosine),
    );
    tile.className = `cl-tile ${item.mark ? `cl-${item.mark}` : ""}`;
    tile.replaceChildren(element("div", "cl-tile-frame", {}, photo, ...other, details), caption);
  };

  return {
    node: list,
    focus,
    rows: () => rows,
    set: (items) => {
      const had = list.contains(document.activeElement) ? document.activeElement : null;
      const tile = had?.closest("li");
      const [row, name] = [Number(tile?.dataset.row), had?.className];
      const place = rows.indexOf(row);
      rows = items.map((item) => item.row);
      const made = items.map((item) => {
        const node = byRow.get(item.row) ?? element("li", "", { "data-row": String(item.row) });
        byRow.set(item.row, node);
        const state = JSON.stringify(item);
        if (node.state !== state) draw(node, item);
        node.state = state;
        return node;
      });
      for (const old of [...byRow.keys()]) if (!rows.includes(old)) byRow.delete(old);
      list.replaceChildren(...made);
      const next = rows.includes(row) ? row : rows[Math.min(Math.max(place, 0), rows.length - 1)];
      if (next !== undefined) stop(next);
      if (had && next !== undefined) {
        const same = [...byRow.get(next).querySelectorAll("button")].find((b) => b.className === name);
        (next === row && same ? same : byRow.get(next).querySelector("button")).focus();
      }
    },
  };
}
