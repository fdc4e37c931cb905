// The page of the demo: draws the traits of `RetrievalDemo`, and sends what a person does.
function demoPage(model, parent) {
  const send = (action, details = {}, buffers) =>
    model.send({ do: action, ...details }, undefined, buffers);
  const dataset = () => model.get("dataset");
  const root = element("div", "cl-demo");
  parent.append(root);
  const ends = [];
  const me = String(Math.random()); // a widget may be shown twice, and a file goes to one of them

  // ---- while the session is being opened ---------------------------------------------------

  const opening = element("p", "cl-opening", { role: "status" });
  const showOpening = () => {
    opening.textContent = model.get("opening");
    if (opening.textContent) root.replaceChildren(opening);
    else if (!root.querySelector(".cl-columns")) build();
  };

  const build = () => {
    const about = dataset();
    let how = "search"; // what the next photo is used for

    // ---- the query ---------------------------------------------------------------------------

    const hows = element("fieldset", "cl-hows", {}, element("legend", "", {}, "The next photo"));
    const group = `cl-how-${Math.random()}`;
    for (const [value, label] of [
      ["search", "starts a new search"],
      ["add", "is added to the query"],
      ["subtract", "is subtracted"],
    ]) {
      const radio = element("input", "", {
        type: "radio", name: group, value, onchange: () => setHow(value),
      });
      hows.append(element("label", "", {}, radio, label));
    }
    let shown = ""; // the query on the page
    let search = -1; // and its number
    const setHow = (value) => {
      how = value;
      for (const radio of hows.querySelectorAll("input")) radio.checked = radio.value === value;
    };

    const words = element("b", "", {}, "Drop a photo here, or click to choose one");
    const input = element("input", "", {
      type: "file", accept: about.accept, "aria-label": "Choose a photo from this computer",
    });
    const drop = element("label", "cl-zone", { title: about.limits }, input, words);
    const take = async (files) => {
      if (!files.length) return;
      setStatus({ text: `Sending ${files[0].name} ...` });
      await sendFile(files[0], { how }, send, about.max_bytes);
      input.value = ""; // allows the same file again
    };
    input.addEventListener("change", () => take(input.files));
    for (const kind of ["dragenter", "dragover"])
      root.addEventListener(kind, (event) => {
        event.preventDefault();
        event.stopPropagation();
        drop.classList.add("cl-over");
      });
    root.addEventListener("dragleave", (event) => {
      if (!root.contains(event.relatedTarget)) drop.classList.remove("cl-over");
    });
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      drop.classList.remove("cl-over");
      take(event.dataTransfer.files);
    });

    const path = asking(
      "Path of a photo on the machine where Jupyter runs", "or the path of a photo", "Search",
      (value) => send("path", { path: value, how }),
    );
    const text = asking("Words to search for", "or words: a red boat", "Search", (value) =>
      send("words", { text: value, how }),
    );
    text.hidden = !about.words;

    let box = [];
    const photo = layeredPhoto({
      onBox: (drawn) => {
        box = drawn;
        askPart.hidden = false;
      },
    });
    const askPart = button("Search with this part", {
      hidden: true, onclick: () => send("part", { box }),
    });
    // Dragging needs a mouse; this button appears when the tab key reaches it.
    const middle = button("Select the middle", { onclick: () => photo.middle() }, "cl-button cl-by-key");
    const hint = element("p", "cl-place", {}, "Drag over the photo to search with a part of it.");
    const whole = button("Whole photo", { hidden: true, onclick: () => send("whole") });
    const parts = element("ul", "cl-parts", { "aria-label": "Parts of the query" });
    const name = element("h3", "cl-query-name");
    const place = element("p", "cl-place");
    const warning = element("p", "cl-warning", { role: "note", hidden: true });
    const classes = element("div", "cl-classes");
    const cluster = element("p");

    const showQuery = () => {
      const query = model.get("query");
      if (!query.name) return;
      const now = JSON.stringify({ ...query, row: null, xy: null });
      if (now === shown) return showMap(); // it only got its place on the map
      shown = now;
      if (query.number !== search) setHow("search");
      name.textContent = query.name;
      place.textContent = query.place;
      warning.textContent = query.warning;
      warning.hidden = !query.warning;
      photo.node.hidden = !query.src;
      if (query.number !== search) {
        if (query.src) photo.set({ src: query.src, alt: `The query: ${query.name}` });
        askPart.hidden = true;
      }
      search = query.number;
      hint.hidden = middle.hidden = !query.photo;
      whole.hidden = !query.part;
      parts.hidden = !query.parts.length;
      renew(
        parts,
        query.parts.map((part, number) =>
          element(
            "li", "", {},
            element("b", "", {}, part.sign > 0 ? "+" : "−"),
            ...(part.src ? [element("img", "", { src: part.src, alt: part.name })] : []),
            element("span", "", {}, part.name),
            button("×", {
              "aria-label": `Remove ${part.name} from the query`,
              onclick: () => send("remove", { number, of: query.parts.length }),
            }),
          ),
        ),
      );
      classes.replaceChildren(
        ...query.classes.flatMap(({ name: category, p }) => [
          element("span", "", {}, category),
          element("span", "cl-number", {}, `${(100 * p).toFixed(1)} %`),
          element("div", "cl-bar", { style: `--p: ${p}`, "aria-hidden": "true" }),
        ]),
      );
      if (query.no_classifier) classes.replaceChildren(element("p", "", {}, query.no_classifier));
      cluster.textContent = query.cluster;
    };

    const shelfChoice = element(
      "select", "cl-input",
      { "aria-label": "Category of the photos to choose from",
        onchange: () => send("shelf", { category: shelfChoice.value }) },
      element("option", "", { value: "" }, "all photos"),
      ...about.categories.map((category) => element("option", "", { value: category }, category)),
    );
    const shelf = element("div", "cl-shelf");
    const showShelf = () => {
      const { category, items } = model.get("shelf");
      shelfChoice.value = category;
      shelf.replaceChildren(
        ...items.map((item) =>
          button(
            element("img", "", { src: item.src, alt: item.name }),
            { title: `Search with ${item.name}`,
              onclick: () => send("search", { row: item.row, how }) },
            "cl-shelf-photo",
          ),
        ),
      );
    };
    const browse = element(
      "details", "cl-section", {},
      element("summary", "", {}, "Photos of the gallery"),
      element("div", "cl-row", {}, shelfChoice,
        button("Show others", { onclick: () => send("shelf", { category: shelfChoice.value }) })),
      shelf,
    );

    const column = element(
      "section", "cl-column", { "aria-label": "Query" },
      drop, path, text,
      element("div", "cl-row", {}, button("Surprise me", { onclick: () => send("surprise", { how }) })),
      hows,
      element(
        "div", "cl-section cl-query", {},
        name, photo.node, parts, element("div", "cl-row", {}, askPart, middle, whole), place, warning, hint,
      ),
      element("div", "cl-section", {}, element("h3", "", {}, "Predicted category"), classes),
      element("div", "cl-section", {}, element("h3", "", {}, "K-Means cluster"), cluster),
      browse,
    );

    // ---- the controls ------------------------------------------------------------------------

    const back = button("←", { "aria-label": "Previous query", onclick: () => send("go", { step: -1 }) });
    const forward = button("→", { "aria-label": "Next query", onclick: () => send("go", { step: 1 }) });
    const count = element("output", "cl-number");
    let asked = 0; // a number of results that was asked for, until it is there
    const slider = element("input", "", {
      type: "range", min: "1", max: String(about.max_k), "aria-label": "Number of results",
      oninput: () => (count.textContent = slider.value),
      onchange: () => {
        asked = Number(slider.value);
        send("show", { k: asked });
      },
    });
    const space = element(
      "select", "cl-input",
      { onchange: () => send("space", { name: space.value }) },
    );
    const bySpace = element("label", "cl-row", {}, "Search by", space);

    const chips = element("ul", "cl-chips", { "aria-label": "Categories to show" });
    const addCategory = element(
      "select", "cl-input",
      { "aria-label": "Filter by category",
        onchange: () => {
          const chosen = [...model.get("controls").categories, addCategory.value];
          if (addCategory.value) send("filter", { categories: [...new Set(chosen)] });
          addCategory.value = "";
        } },
      element("option", "", { value: "" }, "Filter by category ..."),
      ...about.categories.map((category) => element("option", "", { value: category }, category)),
    );
    const check = (label, filter) => {
      const box = element("input", "", {
        type: "checkbox",
        onchange: () => send("filter", { [filter]: box.checked }),
      });
      return [box, element("label", "cl-row", {}, box, label)];
    };
    const [ownCluster, ownClusterLabel] = check("only the cluster of the query", "cluster");
    const [noCopies, noCopiesLabel] = check(
      `hide near-duplicates (cosine of ${about.near_duplicate} or more)`, "hide_near_duplicates",
    );
    const filters = element(
      "div", "cl-panel", { role: "group", "aria-label": "Filters" },
      ...(about.categories.length > 1
        ? [addCategory, chips]
        : about.categories.length ? [] : [element("span", "", {}, "These photos have no categories to filter by.")]),
      ownClusterLabel, noCopiesLabel,
    );

    const which = element(
      "select", "cl-input", { "aria-label": "Photos to export" },
      element("option", "", { value: "all" }, "all results"),
      element("option", "", { value: "good" }, "only those marked good"),
    );
    const takeAway = (kind, more = {}) => send("take", { kind, marked: which.value === "good", view: me, ...more });
    const python = element("pre", "cl-python", { tabindex: "0", "aria-label": "Python that repeats the query" });
    const copied = button("Copy", {
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(python.textContent);
          copied.textContent = "Copied";
        } catch {
          getSelection().selectAllChildren(python); // a page without https has no clipboard
          copied.textContent = "Press Ctrl+C";
        }
      },
    });
    const taking = element(
      "div", "cl-panel", { role: "group", "aria-label": "Export" },
      which,
      button("CSV", { onclick: () => takeAway("csv") }),
      button("Contact sheet", { onclick: () => takeAway("sheet") }),
      asking("Folder to copy the photos to", "a new folder", "Copy photos", (folder) =>
        takeAway("copies", { folder })),
      element("details", "cl-wide", {}, element("summary", "", {}, "The same query in Python"), python, copied),
    );

    const mapPlace = element("div", "cl-map-place");
    let map = null;
    const mapButton = folding("Map", mapPlace, (open) => {
      if (open) send("map");
      showMap();
    });
    const bar = element(
      "div", "cl-bar-of-controls cl-row", {},
      element("span", "cl-row", {}, back, forward),
      element("label", "cl-row", {}, "Results", slider, count),
      bySpace,
      element("span", "cl-row cl-end", {}, mapButton, folding("Filters", filters), folding("Export", taking)),
    );

    // Classifier and clusters may be loaded after the first results.
    const showDataset = () => {
      const { spaces, clusters } = dataset();
      const options = Object.entries(spaces);
      space.replaceChildren(...options.map(([value, label]) => element("option", "", { value }, label)));
      space.value = model.get("controls").space ?? "plain";
      bySpace.hidden = options.length < 2;
      ownCluster.disabled = !clusters;
    };

    const marks = element("span");
    const undo = button("Undo", { onclick: () => send("undo") });
    const clear = button("Clear the marks", { onclick: () => send("clear") });
    const marked = element("div", "cl-row cl-marked", { hidden: true }, marks, undo, clear);
    const showControls = () => {
      const state = model.get("controls");
      if (!("k" in state)) return;
      if (!asked || asked === state.k) {
        slider.value = count.textContent = state.k;
        asked = 0;
      }
      space.value = state.space;
      ownCluster.checked = state.cluster;
      noCopies.checked = state.hide_near_duplicates;
      [back.disabled, forward.disabled] = [!state.back, !state.forward];
      marked.hidden = !state.good && !state.bad && !state.undo;
      marks.textContent =
        state.good || state.bad
          ? `${state.good} marked good, ${state.bad} bad: ranking adjusted`
          : "no marks";
      undo.disabled = !state.undo;
      clear.disabled = !state.good && !state.bad;
      which.lastChild.disabled = !state.good;
      if (!state.good) which.value = "all";
      python.textContent = state.python;
      copied.textContent = "Copy";
      chips.hidden = !state.categories.length;
      renew(
        chips,
        state.categories.map((category) =>
          element("li", "", {}, category, button("×", {
            "aria-label": `Remove the filter ${category}`,
            onclick: () => send("filter", { categories: state.categories.filter((c) => c !== category) }),
          })),
        ),
      );
    };

    // ---- results, map, why, lightbox ---------------------------------------------------------

    const grid = tiles({
      explains: about.maps,
      act: (action, row) => {
        if (action === "open") openLight(row);
        else if (action === "search" || action === "add" || action === "subtract")
          send("search", { row, how: action });
        else if (action === "why") send("why", { row });
        else send("mark", { row, mark: action });
      },
    });
    const summary = element("p", "cl-summary", { role: "status" });
    const showResults = () => {
      const { items = [], summary: said = "" } = model.get("results");
      grid.set(items);
      summary.textContent = said;
      showMap();
    };

    const showMap = () => {
      const data = model.get("map");
      if (mapPlace.hidden || !data.points) {
        map?.destroy();
        map = null;
        mapPlace.replaceChildren();
        return;
      }
      const { items = [] } = model.get("results");
      map ??= photoMap(mapPlace, {
        points: mapNumbers(Float32Array, data.points),
        labels: mapNumbers(Int32Array, data.labels),
        names: about.categories,
        colors: data.colors,
        regions: data.regions,
        enter: "searches with it",
        onHover: (row, known) => row !== null && !known && send("photo", { row, size: "small" }),
        onClick: (row) => send("search", { row, how }),
      });
      const { row, xy } = model.get("query");
      map.setQuery(row ?? null, xy ?? null);
      map.setShown(items.map((item) => item.row));
    };

    const whyTitle = element("h3", "", { tabindex: "-1" });
    const whyText = element("p");
    const whyTold = element("div", "cl-map-live", { role: "status" });
    const ofQuery = layeredPhoto({ onPoint: (x, y) => send("region", { x, y }) });
    const ofResult = layeredPhoto({});
    const allRegions = button("All regions", { onclick: () => send("regions") });
    const drawer = element(
      "section", "cl-drawer", { "aria-label": "Why is this photo similar?" },
      button("×", { "aria-label": "Close the explanation", onclick: () => closeWhy() }, "cl-button cl-close"),
      whyTitle, whyText, whyTold, ofQuery.node, ofResult.node, allRegions,
    );
    const closeWhy = () => {
      const { row } = model.get("why");
      send("close_why");
      grid.focus(row);
    };
    drawer.addEventListener("keydown", (event) => event.key === "Escape" && closeWhy());
    const showWhy = () => {
      const why = model.get("why");
      const opens = drawer.hidden && why.title;
      drawer.hidden = !why.title;
      if (!why.title) return;
      whyTitle.textContent = why.title;
      // A screen reader reads it, and Escape closes the drawer.
      if (opens && grid.node.contains(document.activeElement)) whyTitle.focus();
      whyText.textContent = why.region.length
        ? "Light regions of both photos are similar to the outlined region of the query."
        : "Light regions contribute most to the cosine, dark regions least. Click a region of the " +
          "query, the first photo, to see which regions are similar to it.";
      ofQuery.set({ ...why.query, alt: "The query", region: why.region });
      ofResult.set({ ...why.result, alt: "The result" });
      allRegions.disabled = !why.region.length;
      whyTold.textContent = why.spoken;
    };

    const large = [element("img", "", { alt: "" }), element("img", "", { alt: "" })];
    const names = large.map(() => element("figcaption"));
    let open = null;
    const light = element(
      "dialog", "cl-light", { "aria-label": "Query and result, enlarged" },
      element("div", "cl-pair", {}, ...large.map((img, i) => element("figure", "", {}, img, names[i]))),
      element(
        "div", "cl-row", {},
        button("← Previous", { onclick: () => openLight(beside(-1)) }),
        button("Next →", { onclick: () => openLight(beside(1)) }),
        button("Close", { onclick: () => light.close() }),
      ),
    );
    const beside = (step) => grid.rows()[grid.rows().indexOf(open) + step] ?? open;
    const openLight = (row) => {
      open = row;
      const query = model.get("query");
      [large[0].src, large[0].alt] = [query.src || query.parts[0]?.src || "", `The query: ${query.name}`];
      names[0].textContent = query.name;
      const item = model.get("results").items.find((other) => other.row === row);
      [large[1].src, large[1].alt] = [item.src, `Result ${item.rank}: ${item.name}`];
      names[1].textContent = `${item.rank}. ${item.name}, cosine ${item.cosine} (${item.path})`;
      for (const wanted of [-1, row]) send("photo", { row: wanted, size: "large" });
      if (!light.open) light.showModal();
    };
    light.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") openLight(beside(-1));
      if (event.key === "ArrowRight") openLight(beside(1));
    });
    light.addEventListener("close", () => grid.focus(open));

    const enlarge = (img, url) => {
      URL.revokeObjectURL(img.src);
      img.src = url;
    };
    const received = (message, buffers) => {
      if (!buffers?.length || (message.view ?? me) !== me) return;
      const url = URL.createObjectURL(new Blob([buffers[0]]));
      if (message.kind === "file") {
        element("a", "", { href: url, download: message.name }).click();
        setTimeout(() => URL.revokeObjectURL(url), 60_000);
      } else if (message.size === "small" && map) map.setPreview(message.row, url, message.name);
      else if (message.size === "large" && message.row === -1) enlarge(large[0], url);
      else if (message.size === "large" && message.row === open) enlarge(large[1], url);
      else URL.revokeObjectURL(url);
    };
    model.on("msg:custom", received);

    const status = element("div", "cl-status", { role: "status" });
    const setStatus = ({ text: said = "", wrong = false }) => {
      status.replaceChildren(
        element("div", wrong ? "cl-wrong" : "", wrong ? { role: "alert" } : {}, said),
      );
      if (!wrong) return;
      asked = 0;
      showControls(); // what was refused stays as it was
    };

    root.replaceChildren(
      element("header", "cl-header", {}, element("h2", "", {}, "Search by photo"), element("span", "", {}, about.name)),
      element(
        "div", "cl-columns", {},
        column,
        element("section", "cl-main", { "aria-label": "Results" },
          bar, filters, taking, status, marked, mapPlace, summary, grid.node),
        drawer,
      ),
      light,
    );
    const traits = {
      dataset: showDataset, query: showQuery, results: showResults, controls: showControls, shelf: showShelf, why: showWhy,
      map: showMap, status: () => setStatus(model.get("status")),
    };
    for (const [trait, show] of Object.entries(traits)) {
      model.on(`change:${trait}`, show);
      show();
    }
    ends.push(() => {
      for (const [trait, show] of Object.entries(traits)) model.off(`change:${trait}`, show);
      model.off("msg:custom", received);
      map?.destroy();
      for (const picture of [photo, ofQuery, ofResult]) picture.destroy();
      for (const img of large) URL.revokeObjectURL(img.src);
    });
  };

  model.on("change:opening", showOpening);
  showOpening();
  return () => {
    model.off("change:opening", showOpening);
    for (const end of ends) end();
  };
}

export default { render: ({ model, el }) => demoPage(model, el) };
