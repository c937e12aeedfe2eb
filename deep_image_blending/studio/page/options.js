// The options, made from the program's own declarations.
import { state } from "./state.js";

let declared = { options: [], presets: {} };
let changed = () => {};

export function attach(given, told) { declared = given; changed = told; }

const shown = (values) => (values.length === 2 && values[0] !== values[1] ? values.join(", ") : String(values[0]));

// One row an option that means something to the preset; empty is as the preset has it.
export function built(first, more) {
  first.replaceChildren(); more.replaceChildren();
  const values = declared.presets[state.preset] ?? {};
  for (const name of Object.keys(state.options)) if (!(name in values)) delete state.options[name];
  for (const one of declared.options) {
    if (one.name in values) (one.first_sight ? first : more).append(row(one, values[one.name]));
  }
}

function row(one, values) {
  const label = document.createElement("label"), id = `option-${one.name}`;
  label.className = "option"; label.title = one.help;
  const name = document.createElement("span");
  name.textContent = one.label[0].toUpperCase() + one.label.slice(1);
  label.append(name);
  const kept = state.options[one.name];
  let control;
  if (one.kind === "switch" || one.choices.length) {
    control = document.createElement("select");
    const words = one.kind === "switch" ? [["true", "yes"], ["false", "no"]] : one.choices.map((word) => [word, word]);
    const usual = one.kind === "switch" ? (values[0] ? "yes" : "no") : shown(values);
    for (const [value, text] of [["", `as the preset (${usual})`], ...words]) control.append(new Option(text, value));
    control.value = kept === undefined ? "" : String(kept);
    control.addEventListener("change", () => set(one.name, control.value === "" ? undefined
      : one.kind === "switch" ? control.value === "true" : control.value));
    label.append(control);
  } else if (one.low !== null && one.high !== null && one.high <= 10) {
    const line = document.createElement("span"), said = document.createElement("output");
    line.className = "row";
    control = document.createElement("input");
    Object.assign(control, { type: "range", min: one.low, max: one.high, step: (one.high - one.low) / 100, value: kept ?? values[values.length - 1] });
    said.textContent = Number(control.value).toFixed(2);
    control.addEventListener("input", () => { said.textContent = Number(control.value).toFixed(2); });
    control.addEventListener("change", () => set(one.name, Number(control.value)));
    line.append(control, said); label.append(line);
  } else {
    control = document.createElement("input");
    Object.assign(control, { type: "number", placeholder: shown(values), value: kept ?? "" });
    if (one.low !== null) control.min = one.low;
    control.step = one.kind === "whole number" ? 1 : "any";
    control.addEventListener("change", () => set(one.name, control.value === "" ? undefined : Number(control.value)));
    label.append(control);
  }
  control.id = id;
  const help = document.createElement("small");
  help.textContent = one.help;
  label.append(help);
  return label;
}

function set(name, value) {
  if (value === undefined) delete state.options[name]; else state.options[name] = value;
  changed();
}

// Whether the preset begins with Poisson's clone, which then is what is seen until the pass has begun.
export const fromPoisson = () => declared.starts?.[state.preset] === "poisson";

// What the second pass alone may be given.
export function ofSecondPass() {
  const first = new Set(declared.options.filter((one) => one.scope === "first").map((one) => one.name));
  return Object.fromEntries(Object.entries(state.options).filter(([name]) => !first.has(name)));
}
