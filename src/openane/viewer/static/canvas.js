"use strict";
/* A canvas that keeps the size of its frame, with a tip under the pointer. paint(context, width, height, color). */

const Canvas = (() => {
  const { make } = Dom;

  function create({ label, paint, tip, click }) {
    const canvas = make("canvas", { role: "img", "aria-label": label });
    const note = make("div", { class: "tip", hidden: true });
    const frame = make("div", { class: "canvas" }, canvas, note);
    let asked = false;

    function draw() {
      asked = false;
      const { clientWidth: width, clientHeight: height } = frame;
      if (!width || !frame.isConnected) return;
      const scale = devicePixelRatio || 1;
      canvas.width = width * scale;
      canvas.height = height * scale;
      const context = canvas.getContext("2d");
      context.scale(scale, scale);
      context.font = "12px system-ui, sans-serif";
      paint(context, width, height, Theme.color);
    }
    const redraw = () => { if (!asked) { asked = true; requestAnimationFrame(draw); } };

    const place = (event) => {
      const box = frame.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    frame.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      const text = tip && tip(x, y);
      note.hidden = !text;
      if (!text) return;
      note.textContent = text;
      const left = x + 14 + note.offsetWidth > frame.clientWidth ? x - 14 - note.offsetWidth : x + 14;
      Object.assign(note.style, { left: `${Math.max(0, left)}px`, top: `${Math.min(y + 12, frame.clientHeight - 30)}px` });
    });
    frame.addEventListener("pointerleave", () => { note.hidden = true; });
    if (click) frame.addEventListener("click", (event) => click(...place(event)));
    new ResizeObserver(redraw).observe(frame);
    return { element: frame, redraw };
  }

  return { create };
})();
