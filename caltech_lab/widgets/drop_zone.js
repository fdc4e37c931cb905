// An upload area for one photo. The file is sent to the kernel in chunks, because Jupyter's web
// socket silently drops messages of more than 10 MB.
const CHUNK = 2 * 2 ** 20;

async function send(model, file, tell) {
  if (file.size > model.get("max_bytes")) {
    model.send({ kind: "refused", name: file.name, size: file.size });
    return;
  }
  let start = 0;
  do {
    let data;
    try {
      data = await file.slice(start, start + CHUNK).arrayBuffer();
    } catch {
      model.send({ kind: "unreadable", name: file.name });
      return;
    }
    const end = start + data.byteLength;
    tell(`Sending ${file.name} …`);
    model.send({ kind: "chunk", name: file.name, start, last: end >= file.size }, undefined, [data]);
    start = end;
  } while (start < file.size);
}

export default {
  render({ model, el }) {
    const zone = document.createElement("label");
    zone.className = "cl-drop";
    const input = document.createElement("input");
    input.type = "file";
    input.accept = model.get("accept");
    input.setAttribute("aria-label", model.get("label"));
    const words = document.createElement("b");
    const limits = document.createElement("span");
    limits.textContent = model.get("limits");
    zone.append(input, words, limits);
    el.append(zone);

    const rest = () => (words.textContent = model.get("label"));
    rest();
    const take = async (files) => {
      if (!files.length) return;
      await send(model, files[0], (text) => (words.textContent = text));
      input.value = ""; // allows the same file again
    };
    input.addEventListener("change", () => take(input.files));
    for (const kind of ["dragenter", "dragover"])
      zone.addEventListener(kind, (event) => {
        event.preventDefault();
        event.stopPropagation();
        zone.classList.add("cl-over");
      });
    zone.addEventListener("dragleave", () => zone.classList.remove("cl-over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      zone.classList.remove("cl-over");
      take(event.dataTransfer.files);
    });
    model.on("msg:custom", rest);
    return () => model.off("msg:custom", rest);
  },
};
