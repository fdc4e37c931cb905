// An image with clicks, a crop box, outlined rectangles and a heat map.
export default {
  render({ model, el }) {
    const frame = document.createElement("div");
    frame.className = "cl-picture";
    const img = document.createElement("img");
    const canvas = document.createElement("canvas");
    frame.append(img, canvas);
    el.append(frame);
    let drag = null;

    const load = () => {
      img.src = model.get("src");
      img.alt = model.get("alt");
      img.style.maxHeight = model.get("max_height");
      frame.style.display = img.src ? "" : "none";
      frame.style.cursor = model.get("clickable") || model.get("croppable") ? "crosshair" : "";
    };

    const draw = () => {
      const [w, h] = [img.clientWidth, img.clientHeight];
      const scale = window.devicePixelRatio || 1;
      canvas.width = w * scale;
      canvas.height = h * scale;
      const g = canvas.getContext("2d");
      g.scale(scale, scale);
      const heat = model.get("heat");
      if (heat.length) {
        const [l, t, r, b] = model.get("frame");
        const small = document.createElement("canvas");
        [small.width, small.height] = [heat[0].length, heat.length];
        const pixels = small.getContext("2d");
        heat.forEach((row, y) =>
          row.forEach((value, x) => {
            pixels.fillStyle = `rgba(0, 0, 0, ${0.82 * (1 - value)})`;
            pixels.fillRect(x, y, 1, 1);
          }),
        );
        g.fillStyle = "rgba(0, 0, 0, 0.82)";
        g.fillRect(0, 0, w, h);
        g.clearRect(l * w, t * h, (r - l) * w, (b - t) * h);
        g.imageSmoothingQuality = "high";
        g.drawImage(small, l * w, t * h, (r - l) * w, (b - t) * h);
      }
      const box = drag?.box ?? model.get("box");
      if (box.length) {
        const [l, t, r, b] = box;
        g.fillStyle = "rgba(0, 0, 0, 0.55)";
        g.fillRect(0, 0, w, h);
        g.clearRect(l * w, t * h, (r - l) * w, (b - t) * h);
        outline(g, l * w, t * h, (r - l) * w, (b - t) * h);
      }
      for (const [x, y, wide, high] of model.get("marks"))
        outline(g, x * w, y * h, wide * w, high * h);
    };

    const outline = (g, x, y, w, h) => {
      for (const [color, width] of [["#fff", 4], ["#D55E00", 2]]) {
        g.strokeStyle = color;
        g.lineWidth = width;
        g.strokeRect(x, y, w, h);
      }
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
      if (model.get("croppable")) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag || !model.get("croppable")) return;
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 6) return;
      const [[x0, y0], [x1, y1]] = [drag.from, at(event)];
      drag.box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
      draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!drag) return;
      const { box } = drag;
      drag = null;
      if (box) {
        model.set("box", box);
        model.save_changes();
      } else if (model.get("clickable")) {
        const [x, y] = at(event);
        model.send({ kind: "click", x, y });
      }
      draw();
    });
    canvas.addEventListener("pointercancel", () => ((drag = null), draw()));

    const names = ["src", "alt", "max_height", "clickable", "croppable"];
    for (const name of names) model.on(`change:${name}`, load);
    for (const name of ["heat", "frame", "box", "marks"]) model.on(`change:${name}`, draw);
    img.addEventListener("load", draw);
    const watch = new ResizeObserver(draw);
    watch.observe(img);
    load();
    return () => {
      watch.disconnect();
      for (const name of names) model.off(`change:${name}`, load);
      for (const name of ["heat", "frame", "box", "marks"]) model.off(`change:${name}`, draw);
    };
  },
};
