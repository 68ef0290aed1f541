"use strict";

const UNSURE = "unsure", EXCLUDE = "exclude", NO_NUCLEUS = "no nucleus";
const FLAGS = { touching: "touching", border: "cut off", out_of_focus: "out of focus" };
const MEASURES = [
  ["lobes", "Lobes (minimum)", ""], ["dents", "Dents", ""], ["nucleus_um2", "Nucleus area", "µm²"],
  ["area_ratio", "Nucleus to cell area", ""], ["cell_um", "Cell diameter", "µm"], ["roundness", "Roundness", ""],
  ["solidity", "Solidity", ""], ["unevenness", "Unevenness", ""], ["brightness", "Brightness", "grey levels"],
  ["offset_um", "Off-centre", "µm"], ["sharpness", "Sharpness", ""], ["group", "Frame", ""], ["place", "Position", "px"],
];
// Okabe & Ito: safe for colour-blind readers
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#999999", "#7b5ea7"];

const sheet = JSON.parse(document.getElementById("sheet").textContent);
const column = Object.fromEntries(sheet.header.map((name, k) => [name, k]));
const byId = (id) => document.getElementById(id);
const grid = byId("grid");

const cells = sheet.rows.map((row) => {
  const cell = Object.fromEntries(sheet.header.map((name, k) => [name, row[k]]));
  cell.row = row;
  cell.place = `${cell.x}, ${cell.y}, ${cell.width}×${cell.height}`;
  cell.flags = Object.keys(FLAGS).filter((name) => cell[name] === "1");
  cell.suggested = cell.reason === NO_NUCLEUS ? NO_NUCLEUS : cell.suggestion;
  return cell;
});
const kinds = [UNSURE, ...sheet.classes, NO_NUCLEUS, EXCLUDE];
// cells that need a decision come first, those without a nucleus last
const order = cells.map((_, k) => k).sort((a, b) =>
  kinds.indexOf(cells[a].suggested) - kinds.indexOf(cells[b].suggested) || a - b);

const filter = { state: "todo", kind: "all", flags: "any" };
const history = [];
let shown = [];
let current = -1; // index into cells
let dirty = false;

const kindOf = (cell) => cell.label || cell.suggested;
const colourOf = (kind) => sheet.classes.includes(kind) ? COLOURS[sheet.classes.indexOf(kind) % COLOURS.length] : "";

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// kept by the browser, so that a closed tab loses nothing

const KEY = `leuko-label ${sheet.id}`;

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify({ labels: cells.map((cell) => cell.label), dirty }));
  } catch {
    notify("This browser cannot keep your labels: save labels.csv before you close the page.");
  }
}

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    if (!kept || kept.labels.length !== cells.length) return;
    cells.forEach((cell, k) => { if (allowed(kept.labels[k])) cell.label = kept.labels[k]; });
    dirty = kept.dirty;
    const done = cells.filter((cell) => cell.label).length;
    if (done) notify(`Restored from your last visit: ${counted(done, "label")}${dirty ? ", not yet saved as a file" : ""}.`);
  } catch { /* nothing kept, or unreadable */ }
}

function allowed(label) {
  return label === "" || label === UNSURE || label === EXCLUDE || sheet.classes.includes(label);
}

const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

function notify(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

// labels

function setLabels(changes) {
  const real = changes.filter(([k, label]) => cells[k].label !== label);
  if (!real.length) return;
  history.push(real.map(([k]) => [k, cells[k].label]));
  write(real);
}

function write(changes) {
  for (const [k, label] of changes) {
    cells[k].label = label;
    if (cells[k].tile) paint(cells[k]);
  }
  dirty = true;
  keep();
  count();
  detail();
}

function answer(label) {
  if (current < 0) return;
  notify("");
  setLabels([[current, label]]);
  if (label) advance();
}

const confirmed = (cell) => cell.label || (cell.suggestion === UNSURE ? UNSURE : cell.suggestion);

function confirmShown() {
  const open = shown.filter((k) => !cells[k].label);
  if (!open.length) return;
  const names = [...new Set(open.map((k) => confirmed(cells[k])))].join(", ");
  if (!window.confirm(`Confirm ${counted(open.length, "shown cell")} as suggested (${names})?`)) return;
  setLabels(open.map((k) => [k, confirmed(cells[k])]));
  notify(`${counted(open.length, "cell")} confirmed. Press Z to undo.`);
}

function undo() {
  const changes = history.pop();
  if (!changes) return;
  write(changes);
  if (shown.includes(changes[0][0])) select(changes[0][0]);
}

// moving

function advance() {
  const at = shown.indexOf(current);
  const next = shown.slice(at + 1).find((k) => !cells[k].label) ?? shown.find((k) => !cells[k].label) ?? shown[at + 1];
  if (next !== undefined) select(next);
}

function move(step) {
  const at = shown.indexOf(current);
  const to = Math.min(shown.length - 1, Math.max(0, at + step));
  if (shown.length) select(shown[to]);
}

const columns = () => getComputedStyle(grid).gridTemplateColumns.split(" ").length;

function select(k) {
  cells[current]?.tile?.setAttribute("aria-selected", "false");
  current = k;
  const tile = cells[k]?.tile;
  if (tile) {
    tile.setAttribute("aria-selected", "true");
    tile.scrollIntoView({ block: "nearest" });
    grid.setAttribute("aria-activedescendant", tile.id);
  } else {
    grid.removeAttribute("aria-activedescendant");
  }
  detail();
}

// drawing

const address = (path, folder) => {
  const parts = path.split("/");
  return [folder ?? parts[0], ...parts.slice(1)].map(encodeURIComponent).join("/");
};

function picture(path, folder, alt) {
  return element("span", {}, element("img", { loading: "lazy", decoding: "async", alt, src: address(path, folder) }));
}

function tileOf(k) {
  const cell = cells[k];
  if (cell.tile) return cell.tile;
  cell.tile = element("article", { id: `cell-${k}`, className: "tile", onclick: () => { select(k); grid.focus(); } },
    element("div", {}, picture(cell.path, null, "bright field"), picture(cell.path, "nuclei", "nucleus")),
    element("p", {}, element("b"), element("em", { textContent: cell.flags.map((name) => FLAGS[name]).join(" · ") })));
  cell.tile.setAttribute("role", "option");
  cell.tile.setAttribute("aria-selected", "false");
  cell.tile.title = cell.reason;
  paint(cell);
  return cell.tile;
}

function paint(cell) {
  const kind = kindOf(cell);
  cell.tile.classList.toggle("confirmed", cell.label !== "");
  cell.tile.classList.toggle("exclude", cell.label === EXCLUDE);
  cell.tile.querySelector("b").textContent = cell.label ? kind : `${kind}?`;
  cell.tile.style.setProperty("--class", colourOf(kind));
}

const states = { todo: ["To do", (cell) => !cell.label], done: ["Confirmed", (cell) => cell.label !== ""], all: ["All", () => true] };
const flagged = {
  any: () => true, none: (cell) => !cell.flags.length,
  ...Object.fromEntries(Object.keys(FLAGS).map((name) => [name, (cell) => cell[name] === "1"])),
};

function passes(cell, state, kind) {
  return states[state][1](cell) && (kind === "all" || kindOf(cell) === kind) && flagged[filter.flags](cell);
}

function show(change = {}) {
  Object.assign(filter, change);
  shown = order.filter((k) => passes(cells[k], filter.state, filter.kind));
  grid.replaceChildren(...shown.map(tileOf));
  if (!shown.length) {
    grid.append(element("p", { className: "empty", textContent: cells.every((cell) => cell.label)
      ? "All cells are confirmed. Save labels.csv." : "No cell matches these filters." }));
  }
  const before = current;
  select(shown.includes(before) ? before : shown[0] ?? -1);
  count();
}

function count() {
  const done = cells.filter((cell) => cell.label).length;
  byId("progress").value = cells.length ? done / cells.length : 0;
  byId("count").textContent = `${done} of ${cells.length} confirmed${dirty ? ", not saved" : done ? ", saved" : ""}`;
  byId("undo").disabled = !history.length;
  for (const button of byId("states").children) {
    const name = button.dataset.state;
    button.setAttribute("aria-pressed", String(filter.state === name));
    button.lastChild.textContent = cells.filter((cell) => passes(cell, name, filter.kind)).length;
  }
  for (const button of byId("kinds").children) {
    const name = button.dataset.kind;
    const n = cells.filter((cell) => passes(cell, filter.state, name)).length;
    button.setAttribute("aria-pressed", String(filter.kind === name));
    button.lastChild.textContent = n;
  }
}

function detail() {
  const cell = cells[current];
  byId("detail").style.visibility = cell ? "" : "hidden";
  if (!cell) return;
  for (const [id, folder] of [["bright", null], ["stain", "nuclei"]]) {
    const image = byId(id), source = address(cell.path, folder);
    if (image.getAttribute("src") !== source) image.src = source;
  }
  const margin = (length) => {
    const side = cell[length] / sheet.scale / sheet.crop_px;
    return `${50 * Math.max(0, 1 - side)}%`;
  };
  byId("detail").style.setProperty("--left", margin("width"));
  byId("detail").style.setProperty("--top", margin("height"));
  const kind = kindOf(cell);
  byId("answer").textContent = cell.label ? kind : `${kind}?`;
  byId("answer").style.setProperty("--class", colourOf(kind));
  byId("reason").textContent = cell.label && cell.label !== cell.suggestion
    ? `Suggested: ${cell.suggestion} (${cell.reason})` : cell.reason;
  byId("marks").replaceChildren(...cell.flags.map((name) => element("span", { textContent: FLAGS[name] })));
  for (const button of byId("classes").children) {
    button.setAttribute("aria-pressed", String(button.dataset.label === cell.label));
  }
  byId("measures").replaceChildren(...MEASURES.filter(([name]) => cell[name] !== "").map(([name, title, unit]) =>
    element("div", {}, element("dt", { textContent: title }), element("dd", { textContent: `${cell[name]} ${unit}`.trim() }))));
}

// files

// as edge.base.csv_writer: an apostrophe before what a spreadsheet would take for a formula
const FORMULA = /^'*[=+\-@\t\r＝＋－＠]/;
const shielded = (text) => FORMULA.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
const unshielded = (text) => text.startsWith("'") && FORMULA.test(text) ? text.slice(1) : text;
const quoted = (text) => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

function table() {
  const rows = cells.map((cell) => cell.row.map((field, k) => (k === column.label ? cell.label : field)));
  return [sheet.header, ...rows].map((row) => `${row.map(shielded).map(quoted).join(",")}\n`).join("");
}

function save() {
  const link = element("a", { download: "labels.csv", href: URL.createObjectURL(new Blob([table()], { type: "text/csv" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  dirty = false;
  keep();
  count();
  notify("Saved labels.csv to your downloads. Next: leuko label --apply labels.csv --data FOLDER-OF-THIS-PAGE --out CLASSES");
}

function parse(text) {
  const rows = [[]];
  for (const [, field, plain, end] of text.replace(/^\ufeff/, "").matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1).push(unshielded(field === undefined ? plain : field.replaceAll('""', '"')));
    if (end === "") break;
    if (end !== ",") rows.push([]);
  }
  return rows;
}

async function load(file) {
  const [header, ...rows] = parse(await file.text());
  const path = header.indexOf("path"), label = header.indexOf("label");
  const known = new Map(cells.map((cell, k) => [cell.path, k]));
  const changes = rows.filter((row) => known.has(row[path]) && allowed(row[label]))
    .map((row) => [known.get(row[path]), row[label]]);
  if (path < 0 || label < 0 || !changes.length) {
    notify(`${file.name} holds no labels for these cells.`);
    return;
  }
  setLabels(changes);
  show();
  notify(`Loaded the labels of ${counted(changes.length, "cell")} from ${file.name}. Press Z to undo.`);
}

// keys

const keys = {
  ArrowLeft: () => move(-1), ArrowRight: () => move(1),
  ArrowUp: () => move(-columns()), ArrowDown: () => move(columns()),
  Home: () => move(-Infinity), End: () => move(Infinity),
  PageUp: () => move(-4 * columns()), PageDown: () => move(4 * columns()),
  Enter: () => current >= 0 && answer(confirmed(cells[current])), " ": () => keys.Enter(),
  u: () => answer(UNSURE), x: () => answer(EXCLUDE),
  Backspace: () => answer(""), Delete: () => answer(""),
  n: advance, z: undo, s: save,
  "?": () => { byId("help").open = !byId("help").open; },
};

document.addEventListener("keydown", (event) => {
  const chord = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const control = event.target.closest("button, select, summary");
  if (event.altKey || (chord && !"sz".includes(key))) return;
  if (control && (["Enter", " "].includes(key) || (control.tagName === "SELECT" && !chord))) return;
  let act = keys[key];
  if (event.shiftKey && key === "Enter") act = confirmShown;
  if (/^[1-9]$/.test(key) && sheet.classes[key - 1]) act = () => answer(sheet.classes[key - 1]);
  if (!act) return;
  event.preventDefault();
  act();
});

window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
byId("save").onclick = save;
byId("undo").onclick = undo;
byId("load").onclick = () => byId("file").click();
byId("file").onchange = ({ target }) => { if (target.files[0]) load(target.files[0]); target.value = ""; };
byId("flags").onchange = ({ target }) => { show({ flags: target.value }); grid.focus(); };
grid.style.setProperty("--zoom", sheet.zoom);

byId("states").append(...Object.entries(states).map(([state, [title]]) => {
  const button = element("button", { type: "button", onclick: () => { show({ state }); grid.focus(); } }, `${title} `, element("span"));
  button.dataset.state = state;
  return button;
}));
byId("kinds").append(...["all", ...kinds].map((kind) => {
  const button = element("button", { type: "button", onclick: () => { show({ kind }); grid.focus(); } },
    kind === "all" ? "all classes " : `${kind} `, element("span"));
  button.dataset.kind = kind;
  button.classList.toggle("every", kind === "all");
  button.style.setProperty("--class", colourOf(kind));
  return button;
}));
const choices = [...sheet.classes.map((name, k) => [name, k < 9 ? String(k + 1) : ""]), [UNSURE, "U"], [EXCLUDE, "X"]];
byId("classes").append(...choices.map(([label, key]) => {
  const button = element("button", { type: "button", onclick: () => { answer(label); grid.focus(); } }, label);
  if (key) button.append(element("kbd", { textContent: key }));
  button.dataset.label = label;
  button.style.setProperty("--class", colourOf(label));
  return button;
}));

recall();
show();
grid.focus();
