// The blend under way: what is told of it, its curves, what is kept.
import { asked, Live } from "./api.js";
import { ofSecondPass } from "./options.js";
import * as place from "./place.js";
import { state } from "./state.js";

const at = (id) => document.getElementById(id);
export const blending = { run: null, done: null, busy: false };
let live = null, losses = {}, budgets = {}, began = 0, region = null, hooks = null, fetching = false;

export function attach(given) { hooks = given; live = new Live(state.page, heard); }

export function begin() {
  if (!state.source || !state.target || !state.mask || !state.place) return;
  live.send({
    kind: "blend", source: state.source.id, target: state.target.id, mask: state.mask,
    place: place.asOptions(), preset: state.preset, options: state.options,
  });
}
export function again() { if (blending.done) live.send({ kind: "again", run: blending.done, options: ofSecondPass() }); }
export function stop() { if (blending.busy) live.send({ kind: "stop" }); }

// The object moves: what is made of its old place is of no use.
export function moved() {
  if (blending.busy) live.send({ kind: "stop", discard: true });
  blending.run = null; kept(null); busy(false);
}

function busy(is) {
  blending.busy = is;
  at("stop").disabled = !is; at("progress").hidden = !is && !Object.keys(losses).length;
  at("again").disabled = is || !blending.done;
}

async function heard(told) {
  if (told.kind === "elsewhere") { hooks.say("This page is open in another tab, which has it now.", true); return; }
  if (told.kind === "away") { hooks.say("The studio does not answer; is `blend studio` still running?", true); return; }
  if (told.kind === "began") {
    blending.run = told.run; losses = {}; budgets = {}; began = performance.now(); region = null; busy(true); kept(null);
    at("bar").value = 0; at("progress-said").textContent = "Beginning …"; curves();
    return;
  }
  if (told.kind === "failed" && !told.run) { hooks.say(told.message, true); return; }
  if (told.run !== blending.run) return;
  if (told.kind === "waiting") at("progress-said").textContent = told.before ? `Waiting: ${told.before} before this one` : "Beginning …";
  if (told.kind === "phase") at("progress-said").textContent = `${told.text[0].toUpperCase()}${told.text.slice(1)} …`;
  if (told.kind === "plan") { at("plan").textContent = `Runs ${told.text}.`; region = told.region; }
  if (told.kind === "evaluation") evaluated(told);
  if (told.kind === "frame" && region && !fetching) {
    // A slow page leaves moments out.
    fetching = true;
    try { await place.moment(told.run, told.frame, region); } catch { /* the run has gone on, or has gone */ } finally { fetching = false; }
  }
  if (told.kind === "done") {
    busy(false);
    at("progress-said").textContent = `Done in ${Math.round((performance.now() - began) / 1000)} s.`;
    await opened(told.run);
    hooks.say("Blended.");
  }
  if (told.kind === "stopped") { busy(false); at("progress-said").textContent = "Stopped."; hooks.say("Stopped."); }
  if (told.kind === "failed") { busy(false); at("progress-said").textContent = ""; hooks.say(told.message, true); }
}

function evaluated(told) {
  (losses[told.pass] ??= []).push(told.total); budgets[told.pass] = told.budget;
  const left = Math.ceil(told.left);
  at("bar").max = told.budget; at("bar").value = told.index;
  at("progress-said").textContent = `${told.pass === "first_pass" ? "First" : "Second"} pass, ${told.index} of ${told.budget}; about ${left} s left in it`;
  curves();
}

// Losses of both passes, each over its first, on a logarithmic scale.
export function curves() {
  const canvas = at("curves"), c = canvas.getContext("2d"), ink = getComputedStyle(document.body);
  c.clearRect(0, 0, canvas.width, canvas.height);
  const passes = [["first_pass", ink.getPropertyValue("--quiet")], ["second_pass", ink.getPropertyValue("--accent")]];
  const all = passes.flatMap(([name]) => logs(name));
  if (all.length < 2) return;
  const low = Math.min(...all), high = Math.max(...all, low + 0.01), half = canvas.width / 2;
  c.font = "20px system-ui"; c.lineWidth = 3;
  passes.forEach(([name, colour], index) => {
    const values = logs(name), from = index * half + 10, across = half - 20;
    c.fillStyle = c.strokeStyle = colour;
    c.fillText(name === "first_pass" ? "first pass" : "second pass", from, 20);
    c.beginPath();
    values.forEach((value, step) => c.lineTo(from + (across * step) / Math.max(1, (budgets[name] ?? 1) - 1, values.length - 1), 32 + (canvas.height - 42) * (1 - (value - low) / (high - low))));
    c.stroke();
  });
}
const logs = (name) => (losses[name] ?? []).filter((one) => one > 0).map((one, _, list) => Math.log(one / list[0]));

// A finished run: its pictures, and what can be kept of it.
export async function opened(run, settings = null) {
  const found = settings ?? await (await asked(`/runs/${run}`)).json();
  blending.run = run;
  for (const which of ["first", "second"]) if (found.done[which]) await place.finished(run, which);
  if (found.done.second) kept(run, found.command);
  busy(false);
  return found;
}

function kept(run, command = "") {
  blending.done = run;
  at("kept").hidden = !run; at("again").disabled = !run || blending.busy;
  if (!run) return;
  for (const [id, which] of [["get-picture", "second"], ["get-mask", "mask"], ["get-video", "video"], ["get-report", "report"]]) {
    at(id).href = `/runs/${run}/${which}?download`;
  }
  at("command").value = command;
}
