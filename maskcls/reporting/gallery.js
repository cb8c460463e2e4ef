"use strict";
const byId = (name) => document.getElementById(name);
const classes = JSON.parse(byId("classes").textContent);
const filters = byId("filters"), grid = byId("grid"), large = byId("large");

// the facts of every tile; its pictures stay text in the script element until they are shown
const tiles = [...document.querySelectorAll("script.data")].map((element, position) => {
  const text = element.textContent, tile = JSON.parse(text.slice(0, text.indexOf("\t")));
  return Object.assign(tile, { element, position, key: folded(tile.path) });
});
const picturesOf = (tile) => tile.element.textContent.split("\t").slice(1).map((code) => `data:image/webp;base64,${code}`);
const hasHeatmaps = tiles.some((tile) => tile.explained);
const certainty = (tile) => tile.probabilities[tile.label];
const collator = new Intl.Collator(undefined, { numeric: true });

// the tiles shown, in order; the positions among them of the focused one and of the one shown large; elements by position
let shown = [], current = 0, opened = 0, rendered = new Map();

function folded(text) { return text.normalize("NFC").toLowerCase(); }

function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

function percent(p) {
  if (p > 0.9995 && p < 1) return "> 99.9 %";
  return p < 0.0005 && p > 0 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`;
}

function time(seconds) {
  const whole = Math.floor(seconds / 60);
  return `${whole}:${(seconds - 60 * whole).toFixed(2).padStart(5, "0")}`;
}

// --- which tiles are shown, and in which order

function comparison(order) {
  if (order === "doubtful") return (a, b) => (certainty(a) ?? 2) - (certainty(b) ?? 2);
  if (order === "certain") return (a, b) => (certainty(b) ?? -1) - (certainty(a) ?? -1);
  if (order === "path") return (a, b) => collator.compare(a.path, b.path);
  if (order === "source") return () => 0;
  return (a, b) => (b.probabilities[order] ?? -1) - (a.probabilities[order] ?? -1);
}

function select() {
  const wanted = new FormData(filters);
  const labels = new Set(wanted.getAll("label").map((value) => (value === "" ? null : Number(value))));
  const of = wanted.get("of"), text = folded(wanted.get("text").trim()), note = wanted.get("note");
  // an empty field sets no limit; half a unit of the last digit allows for rounding
  const low = Number(wanted.get("low")) / 100 - 5e-7, high = (wanted.get("high") === "" ? 100 : Number(wanted.get("high"))) / 100 + 5e-7;
  const limited = low > 0 || high < 1;
  const inRange = (p) => (p === undefined ? !limited : p >= low && p <= high);
  shown = tiles.filter((tile) => labels.has(tile.label) && tile.key.includes(text)
    && (note === "" || (tile.note !== null) === (note === "with"))
    && inRange(of === "" ? certainty(tile) : tile.probabilities[of]));
  const compare = comparison(wanted.get("order"));
  shown.sort((a, b) => compare(a, b) || a.position - b.position);
  grid.classList.toggle("explained", hasHeatmaps && wanted.get("explained") !== null);
  byId("result").textContent = `${shown.length.toLocaleString("en")} of ${tiles.length.toLocaleString("en")} shown`;
  byId("reset").hidden = shown.length === tiles.length;
  byId("nothing").hidden = shown.length > 0;
  current = 0;
  rendered = new Map();
  grid.replaceChildren();
  render();
}

// --- the grid: only the rows in view exist

function details(tile) {
  const parts = [];
  if (tile.note !== null) parts.push(`⚠ ${tile.note}`);
  if (tile.face !== null) parts.push(`face ${tile.face}`);
  if (tile.seconds !== null) parts.push(time(tile.seconds)); else if (tile.frame !== null) parts.push(`frame ${tile.frame}`);
  return parts.join(" · ");
}

function answer(label, p) {
  const look = label === null ? { name: "no face found", shape: "○" } : classes[label];
  const lines = [make("span", { class: "answer" }, make("span", { class: "shape", "aria-hidden": "true" }, look.shape), make("bdi", {}, look.name))];
  if (p !== undefined) {
    const meter = make("span", { class: "meter", "aria-hidden": "true" }, make("i", { style: `width: ${100 * p}%` }));
    lines.push(make("span", { class: "measure" }, meter, make("b", {}, percent(p))));
  }
  return lines;
}

const colour = (label) => (label === null ? {} : { style: `--colour: ${classes[label].colour}` });
const fileName = (path) => path.replace(/[\\/]+$/, "").split("/").pop() || path;

function build(tile, index) {
  const sources = grid.classList.contains("explained") ? picturesOf(tile) : picturesOf(tile).slice(0, 1);
  const images = sources.map((src) => make("img", { src, alt: "" }));
  const caption = make("span", { class: "caption" }, ...answer(tile.label, certainty(tile)),
    make("span", { dir: "auto" }, fileName(tile.path)), make("span", { class: "detail", dir: "auto" }, details(tile)));
  const button = make("button", { class: "tile", type: "button", title: tile.path, tabindex: -1, ...colour(tile.label) }, make("span", { class: "pictures" }, ...images), caption);
  button.addEventListener("click", () => open(index));
  button.addEventListener("focus", () => { current = index; markCurrent(); });
  return make("li", { "aria-setsize": shown.length, "aria-posinset": index + 1 }, button);
}

function measures() {
  const style = getComputedStyle(grid), gap = parseFloat(style.rowGap);
  const columns = style.gridTemplateColumns.split(" ").length;
  return { columns, height: grid.firstElementChild.offsetHeight + gap, gap };
}

function render() {
  if (!shown.length) {
    grid.style.height = grid.style.paddingTop = "";
    return;
  }
  if (!grid.firstElementChild) grid.append(build(shown[0], 0));
  const { columns, height, gap } = measures(), rows = Math.ceil(shown.length / columns);
  const above = -grid.getBoundingClientRect().top;
  const first = Math.min(Math.max(0, Math.floor(above / height) - 2), rows - 1);
  const last = Math.min(rows, first + Math.ceil(innerHeight / height) + 5);
  const next = new Map();
  for (let i = first * columns; i < Math.min(last * columns, shown.length); i++) next.set(i, rendered.get(i) ?? build(shown[i], i));
  grid.style.height = `${rows * height - gap}px`;
  grid.style.paddingTop = `${first * height}px`;
  // elements that stay are not touched: a removed one would lose the focus
  const kept = new Set(next.values());
  for (const child of [...grid.children]) if (!kept.has(child)) child.remove();
  [...kept].forEach((element, i) => { if (grid.children[i] !== element) grid.insertBefore(element, grid.children[i] ?? null); });
  rendered = next;
  markCurrent();
}

function markCurrent() {
  // one tile can be reached with the tab key: the current one, or the first in the page
  const reachable = rendered.has(current) ? current : rendered.keys().next().value;
  for (const [i, element] of rendered) element.firstElementChild.tabIndex = i === reachable ? 0 : -1;
}

function moveTo(index) {
  const { columns, height } = measures();
  const hidden = getComputedStyle(filters).position === "sticky" ? filters.offsetHeight + 8 : 8;
  const top = grid.getBoundingClientRect().top + Math.floor(index / columns) * height;
  if (top < hidden) scrollBy(0, top - hidden);
  else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight);
  current = index;
  render();
  rendered.get(index)?.firstElementChild.focus({ preventScroll: true });
}

grid.addEventListener("keydown", (event) => {
  const { columns, height } = measures(), page = columns * Math.max(1, Math.floor(innerHeight / height) - 1);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
  if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  moveTo(Math.min(Math.max(0, current + steps[event.key]), shown.length - 1));
});

// --- one tile, large

function open(index) {
  const tile = shown[index], pictures = large.querySelector(".pictures"), sources = picturesOf(tile);
  opened = index;
  pictures.replaceChildren(...sources.map((src, i) => make("img", { src, alt: i ? "heat map of what spoke for the answer" : "picture" })));
  pictures.classList.toggle("pair", sources.length > 1);
  byId("place").textContent = `${(index + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
  byId("name").textContent = fileName(tile.path);
  const order = tile.probabilities.map((_, i) => i).sort((a, b) => tile.probabilities[b] - tile.probabilities[a]);
  const bars = order.map((i) => make("div", { class: i === tile.label ? "chosen" : "other", ...colour(i) }, ...answer(i, tile.probabilities[i])));
  byId("bars").replaceChildren(...(tile.label === null ? answer(null) : bars));
  const facts = { path: tile.path, face: tile.face, frame: tile.frame, time: tile.seconds === null ? null : time(tile.seconds), box: box(tile.box), note: tile.note };
  large.querySelector("dl").replaceChildren(...Object.entries(facts).filter(([, value]) => value !== null)
    .flatMap(([name, value]) => [make("dt", {}, name), make("dd", { dir: "auto" }, String(value))]));
  byId("link").parentElement.hidden = tile.link === null;
  if (tile.link !== null) byId("link").href = tile.link;
  byId("previous").disabled = index === 0;
  byId("next").disabled = index === shown.length - 1;
  if (!large.open) large.showModal();
}

function box(edges) {
  return edges && `${edges[2]} × ${edges[3]} pixels at ${edges[0]}, ${edges[1]}`;
}

const step = (by) => { if (shown[opened + by]) open(opened + by); };
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => large.close());
large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
large.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft" || event.key === "ArrowRight") step(event.key === "ArrowLeft" ? -1 : 1);
});
large.addEventListener("close", () => moveTo(opened));

// --- start

let waiting = false;
function soon(action) {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; action(); });
}
byId("notes").hidden = !tiles.some((tile) => tile.note !== null);
byId("explained").hidden = byId("about").hidden = !hasHeatmaps;
byId("unfold").addEventListener("click", ({ target }) => target.setAttribute("aria-expanded", target.ariaExpanded === "false"));
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("input", select);
filters.addEventListener("reset", () => setTimeout(select));
addEventListener("scroll", () => soon(render), { passive: true });
addEventListener("resize", () => soon(() => { rendered = new Map(); grid.replaceChildren(); render(); }));
select();
