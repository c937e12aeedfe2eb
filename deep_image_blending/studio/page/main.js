// The page: steps, panel, pointer and keys.
import { asked, bitmap, brought } from "./api.js";
import * as blend from "./blend.js";
import * as cut from "./cut.js";
import * as options from "./options.js";
import * as place from "./place.js";
import { listed } from "./runs.js";
import { can, EMPTY_CUT, redo, remember, restart, save, state, undo } from "./state.js";
import { View } from "./view.js";

const at = (id) => document.getElementById(id);
const all = (query) => document.querySelectorAll(query);
const canvas = at("canvas");
let over = false;
const { cutting } = cut, { placing } = place;
const HINTS = {
  pictures: "Bring the picture with the object, and the one that it goes into.",
  cut: "Drag a box around the object. Then paint what was missed, and what is too much.",
  place: "Drag the object; its corners scale it, the knob turns it, the wheel does both sizes.",
};

export function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}
const wrong = (error) => say(error.message || String(error), true);
const attempt = (action) => async (...given) => { try { return await action(...given); } catch (error) { wrong(error); return undefined; } };

const view = new View(at("canvas"), (c) => {
  if (state.step === "place" && placing.target) place.draw(c, view);
  else if (state.step === "cut" && cutting.source) cut.draw(c, view);
  else if (state.step === "pictures") overview(c);
  at("zoom-level").textContent = `${Math.round(100 * view.scale)} %`;
});

// Both pictures side by side.
function overview(c) {
  const pictures = [[cutting.source, 0], [placing.target, 1]];
  for (const [image, index] of pictures) {
    if (!image) continue;
    const across = view.width / 2 - 48, down = view.height - 96;
    const factor = Math.min(across / image.width, down / image.height);
    const [width, height] = [image.width * factor, image.height * factor];
    c.drawImage(image, (index + 0.5) * (view.width / 2) - width / 2, view.height / 2 - height / 2, width, height);
  }
}

// Steps -----------------------------------------------------------------------------------------------------------
function go(step) {
  if (step !== "pictures" && !state.source) { say("Bring the picture with the object first.", true); return; }
  if (step === "place" && !state.target) { say("Bring the picture to put it into first.", true); return; }
  if (step === "place" && !cutting.shown) { say("Cut the object out first.", true); return; }
  state.step = step;
  say({ pictures: "", cut: "Drag a box around the object.", place: "Drag the object to its place." }[step]);
  if (step === "place" && !state.place) { place.centred(); remember(); place.settled(); }
  save();
  shown();
}

for (const button of all("nav button")) button.addEventListener("click", () => go(button.dataset.step));

function shown() {
  for (const button of all("nav button")) {
    if (button.dataset.step === state.step) button.setAttribute("aria-current", "step"); else button.removeAttribute("aria-current");
  }
  for (const panel of all("[data-panel]")) panel.hidden = panel.dataset.panel !== state.step;
  at("hint").textContent = HINTS[state.step];
  at("welcome").hidden = Boolean(state.source || state.target) || state.step !== "pictures";
  at("zoom").hidden = state.step === "pictures";
  at("zoom-object").hidden = state.step !== "place";
  at("canvas").setAttribute("aria-label", { pictures: "Both pictures", cut: "The picture with the object", place: "The object on its new ground" }[state.step]);
  if (state.step === "cut" && state.source) view.of(state.source);
  if (state.step === "place" && state.target) view.of(state.target);
  panel();
  view.draw();
}

function panel() {
  const { undo: back, redo: forth } = can();
  at("undo").disabled = !back; at("redo").disabled = !forth;
  for (const name of ["grow", "feather"]) { at(name).value = state.cut[name]; at(name).nextElementSibling.textContent = state.cut[name]; }
  at("radius").value = cutting.radius; at("radius").nextElementSibling.textContent = Math.round(cutting.radius);
  for (const name of ["alpha", "tighten"]) at(name).checked = state.cut[name];
  at("alpha-row").hidden = !state.source?.alpha;
  at("subtract").checked = cutting.subtract;
  at("subtract-row").hidden = cutting.tool !== "lasso";
  at("radius-row").hidden = !["object", "background"].includes(cutting.tool);
  for (const radio of all("[name=tool]")) radio.checked = radio.value === cutting.tool;
  for (let side = 0; side < 4; side += 1) if (document.activeElement !== at(`box-${side}`)) at(`box-${side}`).value = state.cut.box?.[side] ?? "";
  at("mask-file").hidden = !state.mask;
  if (state.mask) Object.assign(at("mask-file"), { href: `/pictures/${state.mask}`, download: "mask.png" });
  at("auto").checked = state.auto;
  at("blend").disabled = !state.mask || !state.place;
  if (state.source && state.target && state.place) {
    const { ss } = place.geometry();
    for (const [name, value] of [["x", state.place.x], ["y", state.place.y], ["ss", ss], ["rotate", state.place.rotate]]) {
      if (document.activeElement !== at(name)) at(name).value = value;
    }
    at("flip").checked = state.place.flip;
  }
}

// Pictures --------------------------------------------------------------------------------------------------------
const drawSlot = (which, image) => {
  const canvas = document.querySelector(`[data-slot=${which}] canvas`), c = canvas.getContext("2d");
  c.clearRect(0, 0, canvas.width, canvas.height);
  document.querySelector(`[data-slot=${which}] .name`).textContent = state[which]
    ? `${state[which].name}, ${state[which].columns}×${state[which].rows}` : "None yet";
  if (!image) return;
  const factor = Math.min(canvas.width / image.width, canvas.height / image.height);
  c.drawImage(image, (canvas.width - image.width * factor) / 2, (canvas.height - image.height * factor) / 2, image.width * factor, image.height * factor);
};

async function took(which, picture) {
  blend.moved();
  state[which] = picture;
  if (which === "source") {
    state.cut = structuredClone(EMPTY_CUT); state.mask = null; state.place = null; cutting.shown = null;
    if (picture.alpha) state.cut.alpha = true;
    await cut.load();
    cutting.radius = Math.max(4, Math.round(Math.min(picture.rows, picture.columns) / 50));
  } else {
    state.place = null;
    await place.load();
  }
  drawSlot(which, which === "source" ? cutting.source : placing.target);
  restart();
  if (which === "source" && picture.alpha) cut.renewed();
  shown();
}

const bring = attempt(async (files, where = null) => {
  for (const file of files) {
    const which = where ?? (state.source ? "target" : "source");
    say(`Reading ${file.name || "the picture"} …`);
    await took(which, await brought(file));
    say(state.source && state.target ? "Cut the object out." : "Now the picture that it goes into.");
  }
  if (state.source && state.target && state.step === "pictures") go("cut");
});

for (const which of ["source", "target"]) {
  at(which).addEventListener("change", () => { bring([...at(which).files], which); at(which).value = ""; });
}
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
addEventListener("dragleave", () => document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault(); document.body.classList.remove("dropping");
  const slot = event.target.closest?.("[data-slot]")?.dataset.slot;
  if (event.dataTransfer.files.length) bring([...event.dataTransfer.files], slot ?? null);
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
  if (files.length) bring(files);
});
const demo = attempt(async (name) => {
  say("Opening the demo …");
  const found = await (await asked(`/demos/${name}`, { method: "POST" })).json();
  await took("source", found.source); await took("target", found.target);
  state.cut.mask = found.mask.id; state.cut.maskName = found.mask.name;
  await cut.renewed();
  const { ss, x, y } = found.place, { rows, columns } = state.source;
  state.place = { x, y, scale: (ss ?? Math.max(rows, columns)) / Math.max(rows, columns), rotate: 0, flip: false };
  restart();
  go("place");
  say(found.title + ".");
  place.settled();
});
at("forget").addEventListener("click", attempt(async () => {
  blend.moved();
  const ids = new Set([state.source?.id, state.target?.id, state.mask, state.cut.mask].filter(Boolean));
  for (const id of ids) await asked(`/pictures/${id}`, { method: "DELETE" });
  Object.assign(state, { source: null, target: null, mask: null, place: null, cut: structuredClone(EMPTY_CUT), step: "pictures" });
  await cut.load(); await place.load();
  drawSlot("source", null); drawSlot("target", null);
  restart(); shown();
  say("Removed. Runs that were made of them can't be continued any more.");
}));

// Cutting out -----------------------------------------------------------------------------------------------------
cut.attach({
  wrong, redraw: () => view.draw(), scale: () => view.scale,
  masked: (said) => {
    at("mask-said").textContent = state.mask ? (said ?? "") : cutting.shown ? "Refining …" : "";
    if (state.mask && state.step === "place") place.settled();
    panel(); view.draw();
  },
});
const tool = (name) => { cutting.tool = name; cut.cancelled(); panel(); };
for (const radio of all("[name=tool]")) radio.addEventListener("change", () => tool(radio.value));
at("radius").addEventListener("input", () => { cutting.radius = Number(at("radius").value); panel(); view.draw(); });
at("subtract").addEventListener("change", () => { cutting.subtract = at("subtract").checked; });
for (const name of ["grow", "feather"]) {
  at(name).addEventListener("input", () => { at(name).nextElementSibling.textContent = at(name).value; });
  at(name).addEventListener("change", () => { state.cut[name] = Number(at(name).value); cut.changed(); });
}
for (const name of ["alpha", "tighten"]) at(name).addEventListener("change", () => { state.cut[name] = at(name).checked; cut.changed(); });
for (let side = 0; side < 4; side += 1) {
  at(`box-${side}`).addEventListener("change", () => {
    const box = [0, 1, 2, 3].map((one) => at(`box-${one}`).value);
    if (box.some((one) => one === "")) return;
    state.cut.box = box.map((one) => Math.round(Number(one)));
    if (state.cut.box[0] >= state.cut.box[2] || state.cut.box[1] >= state.cut.box[3]) { say("The box is empty: top is above bottom, left before right.", true); return; }
    cut.changed();
  });
}
at("mask").addEventListener("change", attempt(async () => {
  const [file] = at("mask").files;
  at("mask").value = "";
  if (!file || !state.source) return;
  const found = await brought(file);
  if (found.rows !== state.source.rows || found.columns !== state.source.columns) {
    throw new Error(`The mask is ${found.columns}×${found.rows}, the picture ${state.source.columns}×${state.source.rows}: bring one of the same size.`);
  }
  Object.assign(state.cut, structuredClone(EMPTY_CUT), { mask: found.id, maskName: found.name });
  await cut.changed();
}));
at("clear").addEventListener("click", () => cut.cleared());
at("to-place").addEventListener("click", () => go("place"));

// Placing and blending --------------------------------------------------------------------------------------------
let soon = null;
place.attach({
  held: () => (over || document.activeElement === canvas) && !placing.compare,
  stirred: () => { clearTimeout(soon); blend.moved(); },
  moved: () => { panel(); view.draw(); },
  layered: () => { compared(); view.draw(); },
  rested: attempt(async () => {
    clearTimeout(soon);
    await place.poisson();
    if (state.auto && state.mask) soon = setTimeout(() => blend.begin(), 250);
  }),
});
blend.attach({ say });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => blend.curves());

const WORDS = { target: "the target alone", paste: "the paste", poisson: "Poisson", first: "the first pass" };
function compared() {
  const choice = at("compare"), there = Object.keys(WORDS).filter((which) => which === "target" || which === "paste" || placing.layers[which]);
  choice.replaceChildren(new Option("nothing", ""), ...there.map((which) => new Option(WORDS[which], which)));
  if (!there.includes(placing.compare)) placing.compare = "";
  choice.value = placing.compare;
  at("wipe").hidden = !placing.compare || state.step !== "place";
}
at("compare").addEventListener("change", () => { placing.compare = at("compare").value; compared(); view.draw(); });
at("wipe-at").addEventListener("input", () => {
  const share = at("wipe-at").value / 100, [from, to] = [view.left, view.left + view.columns * view.scale];
  // From where the picture begins on the screen to where it ends.
  const [low, high] = [Math.max(0, from), Math.min(view.width, to)];
  placing.wipe = (low + share * (high - low) - view.left) / (view.columns * view.scale);
  view.draw();
});
at("boundary").addEventListener("change", () => {
  placing.boundary = at("boundary").checked;
  const box = place.objectBox();
  if (placing.boundary && box) view.show(box); else view.draw();
});
for (const name of ["x", "y", "ss", "rotate"]) at(name).addEventListener("change", () => { if (at(name).value !== "") place.set(name, Number(at(name).value)); });
at("flip").addEventListener("change", () => place.set("flip", at("flip").checked));
at("auto").addEventListener("change", () => { state.auto = at("auto").checked; save(); });
at("blend").addEventListener("click", () => { clearTimeout(soon); blend.begin(); });
at("stop").addEventListener("click", () => blend.stop());
at("again").addEventListener("click", () => blend.again());
at("copy").addEventListener("click", attempt(async () => { await navigator.clipboard.writeText(at("command").value); say("Copied."); }));
at("preset").addEventListener("change", () => {
  state.preset = at("preset").value; save();
  options.built(at("first-sight"), at("more-options"));
  if (state.auto && state.place) place.settled();
});

const open = attempt(async (name) => {
  const found = await (await asked(`/runs/${name}`)).json();
  blend.moved();
  await took("source", found.pictures.source); await took("target", found.pictures.target);
  if (found.pictures.mask) { state.cut.mask = found.pictures.mask.id; state.mask = found.pictures.mask.id; }
  else state.cut.alpha = true;
  state.preset = found.preset; state.options = found.options;
  at("preset").value = state.preset;
  options.built(at("first-sight"), at("more-options"));
  await cut.renewed();
  const { ss, x, y, rotate, flip } = found.place;
  state.place = { x: x ?? state.target.rows / 2, y: y ?? state.target.columns / 2, scale: 1, rotate: rotate ?? 0, flip: Boolean(flip) };
  if (ss) state.place.scale = ss / place.geometry().ss;
  restart();
  state.step = "place"; save();
  shown();
  await blend.opened(name, found);
  say(`${name} is open.`);
});
at("open-runs").addEventListener("click", attempt(() => listed(open)));
at("open-help").addEventListener("click", () => at("help").showModal());

async function stepped(moved) {
  if (!moved) return;
  blend.moved();
  cutting.shown = null;
  await cut.renewed();
  place.forget();
  if (state.step === "place" && state.place) place.settled();
  shown();
}
at("undo").addEventListener("click", attempt(() => stepped(undo())));
at("redo").addEventListener("click", attempt(() => stepped(redo())));

// Zoom, pointer, keys ---------------------------------------------------------------------------------------------
at("zoom-in").addEventListener("click", () => view.zoom(1.5));
at("zoom-out").addEventListener("click", () => view.zoom(1 / 1.5));
at("zoom-fit").addEventListener("click", () => view.fit());
at("zoom-one").addEventListener("click", () => view.zoom(1 / view.scale));
at("zoom-object").addEventListener("click", () => { const box = place.objectBox(); if (box) view.show(box); });

const fingers = new Map();
let panning = null, space = false;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, event);
  if (fingers.size === 2) { cut.cancelled(); place.up(); panning = "pinch"; return; }
  if (event.button === 1 || space) { panning = "drag"; return; }
  if (event.button !== 0) return;
  if (state.step === "cut") cut.down(view.place(event));
  else if (state.step === "place" && !place.down(view.place(event), view)) panning = "drag";
  view.draw();
});
canvas.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (panning === "pinch" && before && fingers.size === 2) {
    const other = [...fingers.values()].find((one) => one.pointerId !== event.pointerId);
    const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1, box = canvas.getBoundingClientRect();
    view.pan((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
    view.zoom(apart(event) / apart(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
  } else if (panning && before) view.pan(event.clientX - before.clientX, event.clientY - before.clientY);
  else if (state.step === "cut") cut.move(view.place(event));
  else if (state.step === "place") place.move(view.place(event));
  if (before) fingers.set(event.pointerId, event);
  view.draw();
});
for (const kind of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(kind, (event) => {
    fingers.delete(event.pointerId);
    if (panning) { if (!fingers.size) panning = null; return; }
    if (kind === "pointercancel") { cut.cancelled(); place.up(); return; }
    if (state.step === "cut") cut.up(view.place(event)); else if (state.step === "place") place.up();
    view.draw();
  });
}
canvas.addEventListener("pointerenter", () => { over = true; view.draw(); });
canvas.addEventListener("blur", () => view.draw());
canvas.addEventListener("focus", () => view.draw());
canvas.addEventListener("pointerleave", () => { over = false; if (!cut.pressed()) cutting.cursor = null; view.draw(); });
canvas.addEventListener("dblclick", () => { if (state.step === "cut") cut.closed(); });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const factor = Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), [row, column] = view.place(event), box = place.objectBox();
  const over = state.step === "place" && !event.ctrlKey && box && row >= box[0] && row <= box[2] && column >= box[1] && column <= box[3];
  if (over) { place.resize(factor); return; }
  const frame = canvas.getBoundingClientRect();
  view.zoom(factor, event.clientX - frame.left, event.clientY - frame.top);
}, { passive: false });

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
let pressing = false;
canvas.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key], reach = event.shiftKey ? 10 : 1;
  if (state.step === "place") {
    if (arrow) place.nudge(reach * arrow[0], reach * arrow[1]);
    else if (event.key === ",") place.resize(1 / 1.05);
    else if (event.key === ".") place.resize(1.05);
    else if (event.key.toLowerCase() === "r") place.turn(event.shiftKey ? -5 : 5);
    else if (event.key === "m") place.mirror();
    else if (event.key === "Enter") { clearTimeout(soon); blend.begin(); }
    else if (event.key === "Escape") blend.stop();
    else return;
  } else if (state.step === "cut" && state.source) {
    const cross = cutting.cursor ?? [state.source.rows / 2, state.source.columns / 2];
    if (arrow) cut.move([cross[0] + reach * arrow[0], cross[1] + reach * arrow[1]]);
    else if (event.key === "Enter" && cutting.tool === "lasso") { if (event.shiftKey) cut.closed(); else cut.down(cross); }
    else if (event.key === "Enter") { pressing = !pressing; if (pressing) cut.down(cross); else cut.up(cross); }
    else if (event.key === "Escape") { pressing = false; cut.cancelled(); }
    else return;
    cutting.cursor ??= cross;
  } else return;
  event.preventDefault();
  view.draw();
});
addEventListener("keydown", (event) => {
  if (event.key === " " && event.target === canvas) { space = true; event.preventDefault(); }
  if (event.target.matches("input, select, textarea, dialog *") && !["radio", "checkbox", "range"].includes(event.target.type)) return;
  const control = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
  if (control && key === "z" && !event.shiftKey) attempt(() => stepped(undo()))();
  else if (control && (key === "y" || key === "z")) attempt(() => stepped(redo()))();
  else if (control || event.altKey) return;
  else if (["1", "2", "3"].includes(key)) go(["pictures", "cut", "place"][key - 1]);
  else if (key === "+") view.zoom(1.5);
  else if (key === "-") view.zoom(1 / 1.5);
  else if (key === "0") view.fit();
  else if (key === "=") view.zoom(1 / view.scale);
  else if (key === "?") at("help").showModal();
  else if (state.step === "cut" && "bogl".includes(key)) tool({ b: "box", o: "object", g: "background", l: "lasso" }[key]);
  else if (state.step === "cut" && (key === "[" || key === "]")) { cutting.radius = Math.min(100, Math.max(1, cutting.radius * (key === "]" ? 1.25 : 0.8))); panel(); }
  else return;
  event.preventDefault();
  view.draw();
});
addEventListener("keyup", (event) => { if (event.key === " ") space = false; });

// Beginning -------------------------------------------------------------------------------------------------------
attempt(async () => {
  shown();
  const found = await (await asked("/options")).json();
  options.attach(found, () => { save(); if (state.auto && state.place) place.settled(); });
  for (const name of Object.keys(found.presets)) at("preset").append(new Option(name, name));
  at("preset").value = state.preset;
  options.built(at("first-sight"), at("more-options"));
  for (const one of found.demos) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: one.name, title: one.title });
    button.addEventListener("click", () => demo(one.name));
    at("demos").append(button);
  }
  for (const which of ["source", "target"]) {
    if (state[which]) await asked(`/pictures/${state[which].id}`, { method: "HEAD" }).catch(() => { state[which] = null; state.mask = null; state.step = "pictures"; });
  }
  if (state.source) { await cut.load(); drawSlot("source", cutting.source); }
  if (state.target) { placing.target = await bitmap(`/pictures/${state.target.id}`); drawSlot("target", placing.target); }
  if (!cutting.shown && state.source) await cut.renewed();
  if (state.step === "place" && !state.place) state.step = "cut";
  compared(); shown();
  document.body.dataset.ready = "yes";
})();
