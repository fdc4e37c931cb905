
// The map as a widget of its own; photo_map.js comes before this.
export default {
  render({ model, el }) {
    const send = (kind, rows) => model.send({ kind, rows });
    const map = photoMap(el, {
      points: mapNumbers(Float32Array, model.get("points")),
      labels: mapNumbers(Int32Array, model.get("labels")),
      names: model.get("names"),
      colors: model.get("colors"),
      regions: model.get("regions"),
      first: model.get("first"),
      enter: "shows the photos around it",
      onHover: (row, known) => row === null || known || send("hover", [row]),
      onClick: (row) => send("click", [row]),
      onSelect: (rows) => send("select", rows),
    });
    const received = ({ kind, row, src, caption }) =>
      kind === "preview" && map.setPreview(row, src, caption);
    const show = () => map.setShown(model.get("shown"));
    model.on("msg:custom", received);
    model.on("change:shown", show);
    show();
    return () => {
      model.off("msg:custom", received);
      model.off("change:shown", show);
      map.destroy();
    };
  },
};
