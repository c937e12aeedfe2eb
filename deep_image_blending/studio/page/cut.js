// Cutting out: box, brushes, lasso, a mask that there is; the mask at once, then refined.
import { asked, bitmap, posted } from "./api.js";
import { amend, EMPTY_CUT, remember, state } from "./state.js";

const TINT = [178, 24, 64, 118];
export const cutting = { tool: "box", radius: 12, subtract: false, source: null, shown: null, cursor: null, busy: false, unsure: [] };
let serial = 0, press = null, wire = null, hooks = null;

export function attach(given) { hooks = given; }

export async function load() {
  cutting.source = state.source ? await bitmap(`/pictures/${state.source.id}`) : null;
  if (state.mask) await shown(await bitmap(`/pictures/${state.mask}`)); else cutting.shown = null;
}

const something = ({ box, marks, mask, alpha }) => Boolean(box || marks.length || mask || alpha);

// The sketch has changed: a mask at once, then the refined one.
export async function changed({ keep = true } = {}) {
  state.mask = null;
  if (keep) remember();
  await renewed();
}

export async function renewed() {
  const mine = ++serial;
  if (!state.source || !something(state.cut)) {
    cutting.shown = null; state.mask = null; hooks.masked(null); return;
  }
  if (state.mask) {
    const found = await bitmap(`/pictures/${state.mask}`);
    if (mine === serial) { await shown(found); hooks.masked(""); }
    return;
  }
  const sketch = { ...state.cut, source: state.source.id, page: state.page, serial: mine };
  cutting.busy = true; cutting.unsure = [];
  try {
    const quick = await posted("/masks", { ...sketch, at_once: true });
    const coarse = await createImageBitmap(await quick.blob());
    if (mine !== serial) return;
    await shown(coarse);
    hooks.masked(null);
    const told = await (await posted("/masks", sketch)).json();
    if (mine !== serial || told.superseded) return;
    const fine = await bitmap(`/pictures/${told.id}`);
    if (mine !== serial) return;
    await shown(fine);
    state.mask = told.id;
    amend();
    cutting.unsure = told.unsure;
    hooks.masked(`The object is ${(100 * told.share).toFixed(1)} % of the picture.${told.unsure.length ? " It is unsure in the dashed boxes: paint there what is missing or too much." : ""}`);
  } catch (error) {
    if (mine === serial) hooks.wrong(error);
  } finally {
    if (mine === serial) cutting.busy = false;
  }
}

// From a grey mask: the tint of what is outside, the outline, the object with alpha, and its box.
async function shown(mask) {
  const { width, height } = mask, levels = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  levels.drawImage(mask, 0, 0);
  const data = levels.getImageData(0, 0, width, height), pixels = data.data;
  const tint = new ImageData(width, height), line = new ImageData(width, height), alpha = new ImageData(width, height);
  let top = height, left = width, bottom = 0, right = 0;
  const inside = (at) => pixels[4 * at] > 127;
  for (let row = 0, at = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1, at += 1) {
      const level = pixels[4 * at];
      alpha.data[4 * at + 3] = level;
      tint.data.set([TINT[0], TINT[1], TINT[2], (TINT[3] * (255 - level)) / 255], 4 * at);
      if (level > 0) {
        if (row < top) top = row; if (row >= bottom) bottom = row + 1;
        if (column < left) left = column; if (column >= right) right = column + 1;
      }
      if (inside(at) && (row === 0 || column === 0 || row === height - 1 || column === width - 1
        || !inside(at - 1) || !inside(at + 1) || !inside(at - width) || !inside(at + width))) line.data.set([255, 255, 255, 255], 4 * at);
    }
  }
  const canvas = (image) => { const made = new OffscreenCanvas(width, height); made.getContext("2d").putImageData(image, 0, 0); return made; };
  const object = new OffscreenCanvas(cutting.source.width, cutting.source.height), own = object.getContext("2d");
  own.drawImage(canvas(alpha), 0, 0, object.width, object.height);
  own.globalCompositeOperation = "source-in";
  own.drawImage(cutting.source, 0, 0);
  const across = state.source.columns / width, down = state.source.rows / height;
  cutting.shown = bottom > top
    ? { tint: canvas(tint), line: canvas(line), object, box: [top * down, left * across, bottom * down, right * across] } : null;
}

export function draw(c, view) {
  if (!cutting.source) return;
  const { rows, columns } = state.source;
  view.within(c, () => {
    c.drawImage(cutting.source, 0, 0, columns, rows);
    if (cutting.shown) {
      c.drawImage(cutting.shown.tint, 0, 0, columns, rows);
      c.drawImage(cutting.shown.line, 0, 0, columns, rows);
    }
    c.lineCap = c.lineJoin = "round";
    if (press?.points && press.tool !== "lasso") path(c, press.points, press.tool === "object" ? "#ffffffaa" : "#000000aa", 2 * cutting.radius);
    if (press?.tool === "lasso") {
      const wire = [...press.points, ...press.ahead];
      path(c, wire, "#000000", 4 / view.scale); path(c, wire, "#ffd34d", 2 / view.scale);
    }
    const box = press?.tool === "box" ? corners(press.from, press.to) : state.cut.box;
    if (box) {
      c.strokeStyle = "#ffffff"; c.lineWidth = 3 / view.scale; c.strokeRect(box[1], box[0], box[3] - box[1], box[2] - box[0]);
      c.strokeStyle = "#1b5c9e"; c.lineWidth = 1.5 / view.scale; c.strokeRect(box[1], box[0], box[3] - box[1], box[2] - box[0]);
    }
    c.setLineDash([6 / view.scale, 4 / view.scale]);
    for (const [top, left, bottom, right] of cutting.unsure) {
      c.strokeStyle = "#ffd34d"; c.lineWidth = 2 / view.scale; c.strokeRect(left, top, right - left, bottom - top);
    }
    c.setLineDash([]);
    if (cutting.cursor) cursor(c, view);
  });
}

function cursor(c, view) {
  const [row, column] = cutting.cursor, reach = 8 / view.scale;
  for (const [colour, width] of [["#000000", 3], ["#ffffff", 1.5]]) {
    c.strokeStyle = colour; c.lineWidth = width / view.scale;
    c.beginPath();
    if (cutting.tool === "object" || cutting.tool === "background") c.arc(column, row, cutting.radius, 0, 7);
    c.moveTo(column - reach, row); c.lineTo(column + reach, row); c.moveTo(column, row - reach); c.lineTo(column, row + reach);
    c.stroke();
  }
}

function path(c, points, colour, width) {
  c.strokeStyle = colour; c.lineWidth = width;
  c.beginPath();
  points.forEach(([row, column], index) => (index ? c.lineTo(column, row) : c.moveTo(column, row)));
  if (points.length === 1) c.lineTo(points[0][1] + 0.01, points[0][0]);
  c.stroke();
}

const round = ([row, column]) => [Math.round(row * 10) / 10, Math.round(column * 10) / 10];
const bound = ([row, column]) => [
  Math.min(state.source.rows - 1, Math.max(0, Math.round(row))), Math.min(state.source.columns - 1, Math.max(0, Math.round(column))),
];

function corners(from, to) {
  const [a, b] = [bound(from), bound(to)];
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]) + 1, Math.max(a[1], b[1]) + 1];
}

export function down(place) {
  if (!state.source) return;
  if (cutting.tool === "box") press = { tool: "box", from: place, to: place };
  else if (cutting.tool === "lasso") {
    // Each press sets an anchor; the wire follows edges from it.
    if (!press) press = { tool: "lasso", points: [bound(place)], ahead: [], anchor: bound(place) };
    else anchored(place);
  } else press = { tool: cutting.tool, points: [round(place)] };
}

export function move(place) {
  cutting.cursor = place;
  if (!press) return;
  if (press.tool === "box") press.to = place;
  else if (press.tool === "lasso") follow(bound(place));
  else {
    const last = press.points[press.points.length - 1];
    if (Math.hypot(place[0] - last[0], place[1] - last[1]) > Math.max(0.7, cutting.radius / 6)) press.points.push(round(place));
  }
}

export function up(place) {
  if (!press || press.tool === "lasso") return;
  const done = press;
  press = null;
  if (done.tool === "box") {
    const box = corners(done.from, place);
    if (box[2] - box[0] < 4 || box[3] - box[1] < 4) return;
    state.cut.box = box;
  } else state.cut.marks.push({ tool: "brush", thing: done.tool, radius: cutting.radius, points: done.points });
  changed();
}

// The wire ahead of the pointer: one question at a time, the newest place wins.
async function follow(to) {
  if (!press) return;
  press.to = to;
  if (wire) return;
  wire = press;
  try {
    while (wire && press === wire && wire.to) {
      const goal = wire.to, anchor = wire.anchor;
      wire.to = null;
      const found = await (await posted("/paths", { source: state.source.id, seed: anchor, to: goal })).json();
      if (press === wire && wire.anchor === anchor) { wire.ahead = found.points; hooks.redraw(); }
    }
  } catch (error) { hooks.wrong(error); } finally { wire = null; }
}

function anchored(place) {
  const to = bound(place), first = press.points[0];
  const straight = press.ahead.length ? press.ahead : [to];
  press.points.push(...straight); press.ahead = []; press.anchor = to;
  const near = Math.hypot(to[0] - first[0], to[1] - first[1]) < 10 / hooks.scale();
  if (near && press.points.length > 8) closed();
}

// Enter or a double click closes the lasso.
export function closed() {
  if (press?.tool !== "lasso") return false;
  const { points } = press;
  press = null;
  if (points.length > 2) {
    state.cut.marks.push({ tool: "lasso", thing: cutting.subtract ? "background" : "object", points });
    changed();
  }
  hooks.redraw();
  return true;
}

export function cancelled() { const had = press !== null; press = null; hooks.redraw(); return had; }
export const pressed = () => press !== null;
export function cleared() { Object.assign(state.cut, structuredClone(EMPTY_CUT)); return changed(); }
