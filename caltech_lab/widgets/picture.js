// An image with clicks and outlined rectangles.
export default {
  render({ model, el }) {
    const frame = document.createElement("div");
    frame.className = "cl-picture";
    const img = document.createElement("img");
    const canvas = document.createElement("canvas");
    frame.append(img, canvas);
    el.append(frame);

    const load = () => {
      img.src = model.get("src");
      img.alt = model.get("alt");
      img.style.maxHeight = model.get("max_height");
      frame.style.display = img.src ? "" : "none";
      frame.style.cursor = model.get("clickable") ? "crosshair" : "";
    };

    const draw = () => {
      const [w, h] = [img.clientWidth, img.clientHeight];
      const scale = window.devicePixelRatio || 1;
      canvas.width = w * scale;
      canvas.height = h * scale;
      const g = canvas.getContext("2d");
      g.scale(scale, scale);
      for (const [x, y, wide, high] of model.get("marks"))
        for (const [color, width] of [["#fff", 4], ["#D55E00", 2]]) {
          g.strokeStyle = color;
          g.lineWidth = width;
          g.strokeRect(x * w, y * h, wide * w, high * h);
        }
    };

    canvas.addEventListener("click", (event) => {
      if (!model.get("clickable")) return;
      const place = img.getBoundingClientRect();
      const x = (event.clientX - place.left) / place.width;
      const y = (event.clientY - place.top) / place.height;
      model.send({ kind: "click", x, y });
    });

    const names = ["src", "alt", "max_height", "clickable"];
    for (const name of names) model.on(`change:${name}`, load);
    model.on("change:marks", draw);
    img.addEventListener("load", draw);
    const watch = new ResizeObserver(draw);
    watch.observe(img);
    load();
    return () => {
      watch.disconnect();
      for (const name of names) model.off(`change:${name}`, load);
      model.off("change:marks", draw);
    };
  },
};
