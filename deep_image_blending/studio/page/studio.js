// The page: two pictures, a box, a place, a blend.
const at = (id) => document.getElementById(id);
const say = (text) => { at("status").textContent = text; };
const made = { source: null, target: null, mask: null };
const shown = {};

async function asked(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).message || "the studio refused this");
  return answer;
}

async function picture(id) {
  const answer = await asked(`/pictures/${id}`);
  const [columns, rows] = answer.headers.get("x-size").split("x").map(Number);
  return { image: await createImageBitmap(await answer.blob()), columns, rows };
}

function draw() {
  const { source, target, mask } = shown;
  if (source) {
    const context = fit(at("cutting"), source);
    context.drawImage(source.image, 0, 0);
    const box = boxOf(), scale = source.image.width / source.columns;
    if (box.length === 4) {
      context.strokeStyle = "#e0218a"; context.lineWidth = 2;
      context.strokeRect(box[1] * scale, box[0] * scale, (box[3] - box[1]) * scale, (box[2] - box[0]) * scale);
    }
  }
  if (!target) return;
  const context = fit(at("placing"), target);
  context.drawImage(shown.result || target.image, 0, 0, target.image.width, target.image.height);
  if (source && mask && !shown.result) {
    const object = new OffscreenCanvas(source.image.width, source.image.height), own = object.getContext("2d");
    own.drawImage(mask.image, 0, 0);
    const levels = own.getImageData(0, 0, object.width, object.height);
    for (let i = 0; i < levels.data.length; i += 4) levels.data[i + 3] = levels.data[i];
    own.putImageData(levels, 0, 0);
    own.globalCompositeOperation = "source-in";
    own.drawImage(source.image, 0, 0);
    const scale = target.image.width / target.columns;
    const factor = (Number(at("ss").value) / Math.max(source.rows, source.columns)) * scale;
    const width = source.columns * factor, height = source.rows * factor;
    context.drawImage(object, at("y").value * scale - width / 2, at("x").value * scale - height / 2, width, height);
  }
}

function fit(canvas, { image }) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width; canvas.height = image.height;
  }
  return canvas.getContext("2d");
}

const boxOf = () => at("box").value.split(",").filter(Boolean).map(Number);

function place(event, canvas, of) {
  const frame = canvas.getBoundingClientRect();
  return [((event.clientY - frame.top) / frame.height) * of.rows, ((event.clientX - frame.left) / frame.width) * of.columns]
    .map(Math.round);
}

function attempt(action) {
  return async (...given) => { try { await action(...given); } catch (error) { say(error.message); } };
}

for (const name of ["source", "target"]) {
  at(name).addEventListener("change", attempt(async () => {
    const file = at(name).files[0];
    if (!file) return;
    const answer = await asked("/pictures", { method: "POST", body: file, headers: { "x-name": encodeURIComponent(file.name) } });
    made[name] = (await answer.json()).id;
    shown[name] = await picture(made[name]);
    shown.result = null;
    if (name === "source") { at("ss").value = Math.max(shown.source.rows, shown.source.columns); made.mask = shown.mask = null; }
    else { at("x").value = Math.round(shown.target.rows / 2); at("y").value = Math.round(shown.target.columns / 2); }
    say(name === "source" ? "Drag a box around the object." : "Click where the object goes.");
    draw();
  }));
}

let corner = null;
at("cutting").addEventListener("pointerdown", (event) => {
  if (shown.source) { corner = place(event, at("cutting"), shown.source); at("cutting").setPointerCapture(event.pointerId); }
});
at("cutting").addEventListener("pointermove", (event) => {
  if (!corner) return;
  const other = place(event, at("cutting"), shown.source);
  at("box").value = [0, 1].map((i) => Math.min(corner[i], other[i])).concat([0, 1].map((i) => Math.max(corner[i], other[i]))).join();
  draw();
});
at("cutting").addEventListener("pointerup", () => { corner = null; });
at("cutout").addEventListener("click", attempt(async () => {
  say("Cutting out …");
  const answer = await asked("/cut-outs", { method: "POST", body: JSON.stringify({ source: made.source, box: boxOf() }) });
  made.mask = (await answer.json()).id;
  shown.mask = await picture(made.mask);
  shown.result = null;
  say("Cut out. Place it, then blend.");
  draw();
}));
at("placing").addEventListener("click", (event) => {
  if (!shown.target) return;
  [at("x").value, at("y").value] = place(event, at("placing"), shown.target);
  shown.result = null; draw();
});
at("placing").addEventListener("keydown", (event) => {
  const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [];
  if (down === undefined) return;
  event.preventDefault();
  const step = event.shiftKey ? 10 : 1;
  at("x").value = Number(at("x").value) + step * down; at("y").value = Number(at("y").value) + step * right;
  shown.result = null; draw();
});
for (const id of ["x", "y", "ss", "box"]) at(id).addEventListener("input", () => { shown.result = null; draw(); });

at("blend").addEventListener("click", () => {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/blend`);
  at("blend").disabled = true;
  const number = (id) => (at(id).value === "" ? null : Number(at(id).value));
  socket.onopen = () => socket.send(JSON.stringify({
    ...made, x: number("x"), y: number("y"), ss: number("ss"), num_steps: number("steps"), preset: at("preset").value,
  }));
  socket.onmessage = attempt(async ({ data }) => {
    const told = JSON.parse(data);
    if (told.kind === "evaluation") say(`${told.pass.replace("_", " ")}: ${told.index} of ${told.budget}, ${Math.ceil(told.left)} s left`);
    if (told.kind === "phase" || told.kind === "said") say(told.text);
    if (told.kind === "failed") { say(told.message); socket.close(); }
    if (told.kind !== "done") return;
    socket.close();
    const path = `/runs/${told.run}/picture`;
    shown.result = await createImageBitmap(await (await asked(path)).blob());
    Object.assign(at("picture"), { href: path, hidden: false });
    at("command").value = told.command;
    say("Blended."); draw();
  });
  socket.onclose = () => { at("blend").disabled = false; };
});
