// The canvas: zoom, pan, and from the pointer's place to the picture's pixels.
export class View {
  constructor(canvas, draw) {
    this.canvas = canvas; this.context = canvas.getContext("2d"); this.paint = draw;
    this.scale = 1; this.left = 0; this.top = 0; this.rows = 1; this.columns = 1; this.asked = false; this.fitted = true;
    new ResizeObserver(() => { this.size(); if (this.fitted) this.fit(); else this.draw(); }).observe(canvas);
    this.size();
  }

  size() {
    this.ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth; this.height = this.canvas.clientHeight;
    this.canvas.width = Math.max(1, Math.round(this.width * this.ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * this.ratio));
  }

  of(picture) {
    if (this.rows === picture.rows && this.columns === picture.columns) return;
    this.rows = picture.rows; this.columns = picture.columns;
    this.fit();
  }

  fit() { this.show([0, 0, this.rows, this.columns], 24); this.fitted = true; }

  // Show a box (top, left, bottom, right) of the picture, with a margin on the screen.
  show([top, left, bottom, right], margin = 60) {
    const across = Math.max(1, this.width - 2 * margin), down = Math.max(1, this.height - 2 * margin);
    this.scale = Math.min(16, across / (right - left), down / (bottom - top));
    this.left = this.width / 2 - (this.scale * (left + right)) / 2;
    this.top = this.height / 2 - (this.scale * (top + bottom)) / 2;
    this.fitted = false;
    this.draw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(32, Math.max(0.02, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale; this.fitted = false;
    this.draw();
  }

  pan(x, y) { this.left += x; this.top += y; this.fitted = false; this.draw(); }

  // (row, column) in the picture's pixels, of a pointer.
  place(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [(event.clientY - frame.top - this.top) / this.scale, (event.clientX - frame.left - this.left) / this.scale];
  }

  screen(row, column) { return [this.left + column * this.scale, this.top + row * this.scale]; }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const { context: c, ratio } = this;
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.clearRect(0, 0, this.width, this.height);
      c.imageSmoothingEnabled = this.scale < 3;
      c.imageSmoothingQuality = "high";
      this.paint(c, this);
    });
  }

  // Draw in the picture's own pixels.
  within(c, action) {
    c.save(); c.translate(this.left, this.top); c.scale(this.scale, this.scale);
    action(c);
    c.restore();
  }
}
