// The list of runs, and one of them opened with all its settings.
import { asked } from "./api.js";

const at = (id) => document.getElementById(id);

export async function listed(open) {
  const list = at("run-list");
  list.replaceChildren();
  const found = await (await asked("/runs")).json();
  if (!found.length) list.append(Object.assign(document.createElement("li"), { textContent: "None yet." }));
  for (const run of found) {
    const item = document.createElement("li"), button = document.createElement("button"), image = new Image();
    button.type = "button";
    image.loading = "lazy"; image.alt = ""; image.src = `/runs/${run.name}/thumbnail`;
    const name = document.createElement("strong"), about = document.createElement("span");
    name.textContent = run.name;
    about.className = "quiet";
    about.textContent = `${run.preset}${run.done ? "" : ", unfinished"}, ${new Date(1000 * run.at).toLocaleString()}`;
    button.append(image, name, about);
    button.addEventListener("click", () => { at("runs").close(); open(run.name); });
    item.append(button); list.append(item);
  }
  at("runs").showModal();
}
