const FOCUSED = ["button", "input", "select", "summary", "pre"];

// Makes an element: its class, attributes, listeners (onclick ...) and children.
function element(kind, name, attributes = {}, ...children) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") made.toggleAttribute(key, value);
    else made.setAttribute(key, value);
  }
  // JupyterLab, whose shortcuts include letters and Enter, looks for this on the focused element.
  if (FOCUSED.includes(kind)) made.dataset.lmSuppressShortcuts = "true";
  made.append(...children);
  return made;
}

function button(label, attributes = {}, name = "cl-button") {
  return element("button", name, { type: "button", ...attributes }, label);
}

// A button that shows and hides a panel.
function folding(label, panel, changed = () => {}) {
  panel.hidden = true;
  const made = button(label, {
    "aria-expanded": "false",
    onclick: () => {
      panel.hidden = !panel.hidden;
      made.setAttribute("aria-expanded", String(!panel.hidden));
      changed(!panel.hidden);
    },
  });
  return made;
}

// Renews the children of a list, and keeps the focus at its place in it.
function renew(list, children) {
  const before = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...children);
  const now = [...list.querySelectorAll("button")];
  if (before >= 0 && now.length) now[Math.min(before, now.length - 1)].focus();
}

// A text field that is sent by Enter or by its button.
function asking(label, placeholder, action, send) {
  const input = element("input", "cl-input", {
    type: "text", placeholder, "aria-label": label,
    onkeydown: (event) => event.key === "Enter" && !event.isComposing && send(input.value),
  });
  return element("div", "cl-row cl-asking", {}, input, button(action, { onclick: () => send(input.value) }));
}

// Sends a file in chunks, because Jupyter's web socket silently drops messages of more than 10 MB.
// A newer upload ends an older one.
const CHUNK = 2 * 2 ** 20;
let uploads = Date.now(); // so that two pages of one kernel use other numbers

async function sendFile(file, details, send, limit) {
  const upload = ++uploads;
  const about = { ...details, upload, name: file.name, size: file.size };
  if (file.size > limit) return send("upload", { ...about, start: 0 });
  let start = 0;
  do {
    let data;
    try {
      data = await file.slice(start, start + CHUNK).arrayBuffer();
    } catch {
      return send("upload", { ...about, start, fault: true });
    }
    if (upload !== uploads) return;
    send("upload", { ...about, start }, [data]);
    start += data.byteLength;
  } while (start < file.size);
}
