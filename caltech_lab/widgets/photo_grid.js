// A grid of photos in their own aspect ratios, with captions and buttons.
export default {
  render({ model, el }) {
    const grid = document.createElement("div");
    grid.className = "cl-grid";
    el.append(grid);

    const element = (kind, name, text) => {
      const made = document.createElement(kind);
      if (name) made.className = name;
      if (text !== undefined) made.textContent = text;
      return made;
    };

    const tile = (item) => {
      const figure = element("figure", item.mark ? `cl-${item.mark}` : "");
      const send = (action) => model.send({ kind: "action", action, row: item.row });
      const [first, ...others] = model.get("actions");
      let shown = element("div", "cl-gone", "This file can no longer be read.");
      if (item.src) {
        shown = element("img");
        shown.src = item.src;
        shown.alt = item.path;
      }
      if (first && item.src) {
        const button = element("button", "cl-photo");
        button.type = "button";
        button.title = `${first.label}: ${item.path}`;
        button.append(shown);
        button.addEventListener("click", () => send(first.name));
        shown = button;
      }
      const caption = element("figcaption");
      caption.append(element("b", "", item.title));
      for (const line of item.lines) caption.append(element("span", "", line));
      figure.append(shown, caption);
      if (others.length) {
        const row = element("div", "cl-actions");
        for (const { name, label, title } of others) {
          const button = element("button", "", label);
          button.type = "button";
          button.title = title;
          if (["good", "bad", "keep", "relabel", "drop"].includes(name))
            button.setAttribute("aria-pressed", String(item.mark === name));
          button.addEventListener("click", () => send(name));
          row.append(button);
        }
        figure.append(row);
      }
      return figure;
    };

    const draw = () => {
      grid.style.setProperty("--cl-tile", `${model.get("tile")}px`);
      grid.replaceChildren(...model.get("items").map(tile));
    };
    model.on("change:items", draw);
    model.on("change:actions", draw);
    draw();
    return () => {
      model.off("change:items", draw);
      model.off("change:actions", draw);
    };
  },
};
