// What the page asks of the studio.
export async function asked(path, options) {
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Error(told.message || "the studio refused this");
}

export const posted = (path, body, options = {}) => asked(path, { method: "POST", body: JSON.stringify(body), ...options });

export async function brought(file) {
  const headers = { "x-name": encodeURIComponent(file.name || "pasted.png") };
  return (await asked("/pictures", { method: "POST", body: file, headers })).json();
}

export async function bitmap(path) {
  return createImageBitmap(await (await asked(path)).blob());
}

// The socket of this page: it comes back by itself, and the studio tells again what happened meanwhile.
export class Live {
  constructor(page, heard) {
    this.page = page; this.heard = heard; this.waiting = []; this.tries = 0;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live/${this.page}`);
    this.socket.onopen = () => {
      this.tries = 0;
      for (const message of this.waiting.splice(0)) this.socket.send(message);
    };
    this.socket.onmessage = ({ data }) => this.heard(JSON.parse(data));
    this.socket.onclose = ({ code }) => {
      if (code === 4001) { this.heard({ kind: "elsewhere" }); return; }
      this.tries += 1;
      if (this.tries === 2) this.heard({ kind: "away" });
      setTimeout(() => this.open(), Math.min(4000, 250 * this.tries));
    };
  }

  send(message) {
    const text = JSON.stringify(message);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(text); else this.waiting.push(text);
  }
}
