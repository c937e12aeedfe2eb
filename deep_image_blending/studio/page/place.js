// Placing: the object on the target, its handles, and the pictures that are compared.
import { bitmap, posted } from "./api.js";
import { cutting } from "./cut.js";
import { fromPoisson } from "./options.js";
import { remember, state } from "./state.js";

const ONE = 65536;
export const placing = { target: null, layers: {}, live: null, dragging: false, wipe: 0.5, compare: "", boundary: false };
let grip = null, hooks = null, asked = 0;

export function attach(given) { hooks = given; }

export async function load() {
  placing.target = state.target ? await bitmap(`/pictures/${state.target.id}`) : null;
  forget();
}

// What was made of another place is no longer so.
export function forget() {
  placing.layers = {}; placing.live = null; asked += 1;
  hooks?.layered();
}

export function centred() {
  const { source, target } = state;
  if (!source || !target) return;
  const box = cutting.shown?.box ?? [0, 0, source.rows, source.columns];
  const size = Math.max(box[2] - box[0], box[3] - box[1]);
  const scale = Math.min(4, (0.5 * Math.min(target.rows, target.columns)) / size);
  state.place = { x: target.rows / 2, y: target.columns / 2, scale, rotate: 0, flip: false };
  const [row, column] = toTarget([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]);
  state.place.x = Math.round(state.place.x + target.rows / 2 - row);
  state.place.y = Math.round(state.place.y + target.columns / 2 - column);
}

// As the program turns and rescales: whole numbers first, then the longer side.
export function geometry() {
  const { rows, columns } = state.source, { x, y, scale, rotate } = state.place;
  const angle = (rotate * Math.PI) / 180;
  const sine = Math.abs(Math.round(ONE * Math.sin(angle))), cosine = Math.abs(Math.round(ONE * Math.cos(angle)));
  const whole = rotate % 360 === 0 ? [rows, columns]
    : [Math.ceil((columns * sine + rows * cosine) / ONE), Math.ceil((columns * cosine + rows * sine) / ONE)];
  const longer = Math.max(...whole), ss = Math.max(1, Math.round(scale * longer)), factor = ss / longer;
  const size = whole.map((side) => Math.max(1, Math.round(side * factor)));
  const top = Math.floor(x - size[0] / 2), left = Math.floor(y - size[1] / 2);
  return { ss, factor, size, top, left, centre: [top + size[0] / 2, left + size[1] / 2] };
}

export const asOptions = () => {
  const { x, y, rotate, flip } = state.place;
  return { ss: geometry().ss, x, y, rotate: rotate || null, flip: flip || null };
};

function toTarget([row, column]) {
  const { factor, centre } = geometry(), { rotate, flip } = state.place, { rows, columns } = state.source;
  const down = row - rows / 2, across = (column - columns / 2) * (flip ? -1 : 1), angle = (rotate * Math.PI) / 180;
  return [
    centre[0] + factor * (down * Math.cos(angle) - across * Math.sin(angle)),
    centre[1] + factor * (across * Math.cos(angle) + down * Math.sin(angle)),
  ];
}

function frame() {
  const [top, left, bottom, right] = cutting.shown.box;
  return [[top, left], [top, right], [bottom, right], [bottom, left]].map(toTarget);
}

export function objectBox() {
  if (!cutting.shown || !state.place) return null;
  const points = frame(), rows = points.map(([row]) => row), columns = points.map(([, column]) => column);
  return [Math.min(...rows), Math.min(...columns), Math.max(...rows), Math.max(...columns)];
}

function pasted(c, image) {
  const { factor, centre } = geometry(), { rotate, flip } = state.place, { rows, columns } = state.source;
  c.save();
  c.translate(centre[1], centre[0]); c.rotate((-rotate * Math.PI) / 180); c.scale(flip ? -factor : factor, factor);
  c.drawImage(image, -columns / 2, -rows / 2, columns, rows);
  c.restore();
}

// One of the pictures, drawn on the target's pixels.
function layer(c, which) {
  const { rows, columns } = state.target;
  c.drawImage(placing.target, 0, 0, columns, rows);
  const found = placing.layers[which];
  if (found?.whole) c.drawImage(found.whole, 0, 0, columns, rows);
  else if (found) c.drawImage(found.image, found.left, found.top);
  else if (which === "paste" && cutting.shown && state.place) pasted(c, cutting.shown.object);
}

export function newest() {
  if (placing.dragging) return "paste";
  const shown = fromPoisson() ? ["second", "live", "first", "poisson"] : ["second", "live", "first"];
  return shown.find((which) => placing.layers[which]) ?? "paste";
}

export function draw(c, view) {
  if (!placing.target) return;
  const { rows, columns } = state.target;
  view.within(c, () => {
    c.save();
    c.beginPath(); c.rect(0, 0, columns, rows); c.clip();
    layer(c, newest());
    if (placing.compare && !placing.dragging) {
      c.save();
      c.beginPath(); c.rect(0, 0, columns * placing.wipe, rows); c.clip();
      layer(c, placing.compare);
      c.restore();
      c.fillStyle = "#ffffff"; c.fillRect(columns * placing.wipe - 1 / view.scale, 0, 2 / view.scale, rows);
    }
    if (placing.boundary && cutting.shown && state.place) pasted(c, cutting.shown.line);
    c.restore();
  });
  if (cutting.shown && state.place && (hooks.held() || placing.dragging)) handles(c, view);
}

function handles(c, view) {
  const points = frame().map(([row, column]) => view.screen(row, column)), knob = turner(view);
  for (const [colour, width] of [["#000000", 3], ["#ffffff", 1.2]]) {
    c.strokeStyle = colour; c.lineWidth = width;
    c.beginPath();
    points.forEach(([x, y], index) => (index ? c.lineTo(x, y) : c.moveTo(x, y)));
    c.closePath();
    c.moveTo((points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2); c.lineTo(...knob);
    c.stroke();
  }
  c.fillStyle = "#ffffff"; c.strokeStyle = "#1b5c9e"; c.lineWidth = 2;
  for (const [x, y] of [...points, knob]) { c.beginPath(); c.arc(x, y, 7, 0, 7); c.fill(); c.stroke(); }
}

function turner(view) {
  const [a, b, , d] = frame().map(([row, column]) => view.screen(row, column));
  const up = [a[0] - d[0], a[1] - d[1]], length = Math.hypot(...up) || 1;
  return [(a[0] + b[0]) / 2 + (28 * up[0]) / length, (a[1] + b[1]) / 2 + (28 * up[1]) / length];
}

const middle = () => { const [t, l, b, r] = objectBox(); return [(t + b) / 2, (l + r) / 2]; };

// Keep the object's middle where it is, whatever changes.
function about(change) {
  const before = middle();
  change();
  const after = middle();
  state.place.x = Math.round(state.place.x + before[0] - after[0]);
  state.place.y = Math.round(state.place.y + before[1] - after[1]);
}

export function down(place, view) {
  if (!cutting.shown || !state.place) return false;
  const [x, y] = view.screen(...place), near = ([a, b]) => Math.hypot(a - x, b - y) < 16;
  const corners = frame().map(([row, column]) => view.screen(row, column)), box = objectBox();
  const start = { place, own: { ...state.place } };
  if (near(turner(view))) grip = { ...start, kind: "turn", from: Math.atan2(place[0] - middle()[0], place[1] - middle()[1]) };
  else if (corners.some(near)) grip = { ...start, kind: "scale", from: Math.hypot(place[0] - middle()[0], place[1] - middle()[1]) };
  else if (place[0] >= box[0] && place[0] <= box[2] && place[1] >= box[1] && place[1] <= box[3]) grip = { ...start, kind: "drag" };
  else return false;
  placing.dragging = true;
  hooks.stirred();
  return true;
}

export function move(place) {
  if (!grip) return;
  const { own } = grip;
  if (grip.kind === "drag") {
    state.place.x = Math.round(own.x + place[0] - grip.place[0]); state.place.y = Math.round(own.y + place[1] - grip.place[1]);
  } else if (grip.kind === "scale") {
    const [row, column] = middle(), now = Math.hypot(place[0] - row, place[1] - column);
    about(() => { state.place.scale = Math.min(50, Math.max(0.005, (own.scale * now) / (grip.from || 1))); });
  } else {
    const [row, column] = middle(), now = Math.atan2(place[0] - row, place[1] - column);
    about(() => { state.place.rotate = Math.round(turned(own.rotate - ((now - grip.from) * 180) / Math.PI)); });
  }
  hooks.moved();
}

const turned = (degrees) => ((((degrees + 180) % 360) + 360) % 360) - 180;

export function up() {
  if (!grip) return;
  grip = null; placing.dragging = false;
  settled();
}

// The object has come to rest: what was made before is gone, Poisson at once.
export function settled() {
  forget();
  remember();
  hooks.moved();
  hooks.rested();
}

export function nudge(down_, right) { step(() => { state.place.x += down_; state.place.y += right; }); }
export function resize(factor) { step(() => about(() => { state.place.scale *= factor; })); }
export function turn(degrees) { step(() => about(() => { state.place.rotate = turned(state.place.rotate + degrees); })); }
export function mirror() { step(() => about(() => { state.place.flip = !state.place.flip; })); }
export function set(name, value) {
  step(() => {
    if (name === "ss") { const { ss } = geometry(); about(() => { state.place.scale *= value / ss; }); }
    else if (name === "rotate" || name === "flip") about(() => { state.place[name] = value; });
    else state.place[name] = value;
  });
}

let resting = null;
function step(change) {
  if (!state.place || !cutting.shown) return;
  hooks.stirred();
  change();
  forget();
  hooks.moved();
  clearTimeout(resting);
  resting = setTimeout(settled, 350);
}

export async function poisson() {
  if (!state.mask || !state.place) return;
  const mine = ++asked;
  const answer = await posted("/poisson", { source: state.source.id, target: state.target.id, mask: state.mask, place: asOptions() });
  const image = await createImageBitmap(await answer.blob());
  if (mine !== asked) return;
  placing.layers.poisson = { image, top: Number(answer.headers.get("x-top")), left: Number(answer.headers.get("x-left")) };
  hooks.layered();
}

// A moment of a pass that is under way; a finished pass as a whole.
export async function moment(run, name, box) {
  const image = await bitmap(`/runs/${run}/frames/${name}`);
  placing.layers.live = { image, top: box[0], left: box[1] };
  hooks.layered();
}

export async function finished(run, which) {
  placing.layers[which] = { whole: await bitmap(`/runs/${run}/${which}`) };
  delete placing.layers.live;
  hooks.layered();
}
