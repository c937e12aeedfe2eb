// What is being made, its history, and its place in the browser's session, so that a reload finds it again.
const KEY = "studio";
export const EMPTY_CUT = { box: null, marks: [], mask: null, maskName: null, alpha: false, tighten: false, grow: 0, feather: 0 };

export const state = {
  page: Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join(""),
  step: "pictures", source: null, target: null,
  cut: structuredClone(EMPTY_CUT), mask: null, place: null,
  preset: "natural", options: {}, auto: true,
};
try { Object.assign(state, JSON.parse(sessionStorage.getItem(KEY) || "{}")); } catch { /* an older page's: begin anew */ }

export function save() {
  try { sessionStorage.setItem(KEY, JSON.stringify(state)); } catch { /* too many strokes to keep: a reload loses them */ }
}

// Undo and redo of what the hand did: the cut-out and the place.
const snapshot = () => JSON.stringify({ cut: state.cut, mask: state.mask, place: state.place });
const past = [], future = [];
let now = snapshot();

export function remember() {
  const next = snapshot();
  if (next === now) return;
  past.push(now); now = next; future.length = 0;
  if (past.length > 200) past.shift();
  save();
}

// A mask that came later belongs to the moment that asked for it.
export function amend() { now = snapshot(); save(); }
export function restart() { past.length = future.length = 0; now = snapshot(); save(); }
export const can = () => ({ undo: past.length > 0, redo: future.length > 0 });

function moved(from, to) {
  if (!from.length) return false;
  to.push(now); now = from.pop();
  Object.assign(state, JSON.parse(now));
  save();
  return true;
}
export const undo = () => moved(past, future);
export const redo = () => moved(future, past);
