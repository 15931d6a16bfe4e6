"use strict";
/* The estimated time of every task on its engine; parts of a task follow one another, as the estimate adds them. */

(() => {
  const { make, legend } = Dom;
  const { all } = Data;
  const LANES = [["NE", ["NE"], "ne"], ["PE", ["PE"], "pe"], ["DMA", ["weights", "DRAM", "hand-over"], "dma"], ["rest", ["overhead"], "rest"]];
  const ORDER = ["overhead", "weights", "DRAM", "hand-over", "NE", "PE"];
  const LEFT = 48, TOP = 26;

  if (!all.estimate || !all.tasks.length) return;

  /* Programs follow one another, each after its dispatch. */
  const starts = [];
  let total = 0;
  const dispatch = all.estimate.dispatch / Math.max(1, all.programs.length);
  for (const program of all.programs) {
    total += dispatch;
    for (let i = program.first; i < program.first + program.count; i += 1) {
      starts.push(total);
      total += all.tasks[i].parts.reduce((a, b) => a + b, 0);
    }
  }
  const busyFrom = all.programs.length === 1 ? dispatch : 0;
  const span = { from: busyFrom, to: total };
  let canvas = null, list = null;

  function zoom(factor, center = (span.from + span.to) / 2) {
    const size = Math.min(total, Math.max(total / 1e6, (span.to - span.from) * factor));
    const share = (center - span.from) / (span.to - span.from);
    move(center - share * size, size);
  }
  function move(from, size = span.to - span.from) {
    span.from = Math.max(0, Math.min(from, total - size));
    span.to = span.from + size;
    canvas.redraw();
  }

  const scale = (width) => (width - LEFT - 8) / (span.to - span.from);
  const rowHeight = (height) => Math.min(90, (height - TOP - 8) / LANES.length);

  /* The first task that ends after a time: tasks are in order. */
  function firstAt(time) {
    let low = 0, high = starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((starts[middle + 1] ?? total) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function paint(context, width, height, color) {
    const k = scale(width), row = rowHeight(height);
    context.fillStyle = color("soft");
    context.strokeStyle = color("line");
    const step = 10 ** Math.floor(Math.log10((span.to - span.from) / 3));
    for (let t = Math.ceil(span.from / step) * step; t <= span.to; t += step) {
      const x = LEFT + (t - span.from) * k;
      context.beginPath(); context.moveTo(x, TOP - 6); context.lineTo(x, TOP + row * LANES.length); context.stroke();
      if (x < width - 60) context.fillText(Text.micros(t), x + 3, 14);
    }
    LANES.forEach(([name], i) => { context.fillStyle = color("ink"); context.fillText(name, 8, TOP + row * (i + 0.5) + 4); });
    for (let i = firstAt(span.from); i < starts.length && starts[i] <= span.to; i += 1) {
      let at = starts[i];
      if (i === State.now.task) {
        context.fillStyle = color("chosen");
        const length = all.tasks[i].parts.reduce((a, b) => a + b, 0);
        context.fillRect(LEFT + (at - span.from) * k, TOP, Math.max(2, length * k), row * LANES.length);
      }
      for (const part of ORDER) {
        const time = all.tasks[i].parts[all.parts.indexOf(part)] || 0;
        if (time > 0) {
          const lane = LANES.findIndex(([, parts]) => parts.includes(part));
          const x = Math.max(LEFT, LEFT + (at - span.from) * k), end = LEFT + (at + time - span.from) * k;
          if (end > LEFT) {
            context.fillStyle = color(LANES[lane][2]);
            context.fillRect(x, TOP + row * lane + 4, Math.max(0.6, end - x - (end - x > 4 ? 1 : 0)), row - 8);
            if (end - x > 46) {
              context.save();
              context.beginPath(); context.rect(x, TOP + row * lane, end - x - 4, row); context.clip();
              context.fillStyle = color("on-mark");
              context.fillText(`${i} ${all.tasks[i].operation}`, x + 4, TOP + row * (lane + 0.5) + 4);
              context.restore();
            }
          }
        }
        at += time;
      }
    }
  }

  function taskAt(x, y) {
    if (x < LEFT || y < TOP) return null;
    const time = span.from + (x - LEFT) / scale(canvas.element.clientWidth);
    const index = firstAt(time);
    return index < starts.length && starts[index] <= time ? index : null;
  }

  function describe(index) {
    const task = all.tasks[index];
    const parts = all.parts.map((name, i) => [name, task.parts[i]]).filter(([, t]) => t > 0).map(([name, t]) => `${name} ${Text.micros(t)}`);
    return `task ${index}: ${task.operation}${task.origin.length ? ` (${task.origin.join(" + ")})` : ""}; ${parts.join(", ")}; bound by ${task.bound}`;
  }

  function build(view) {
    canvas = Canvas.create({
      label: `Timeline of ${Text.count(all.tasks.length, "task")}, ${Text.micros(total)}. Arrow keys choose a task; its times are next to it.`,
      paint, tip: (x, y) => { const i = taskAt(x, y); return i === null ? "" : describe(i); },
      click: (x, y) => { const i = taskAt(x, y); if (i !== null) State.chooseTask(i, "timeline"); },
    });
    list = Tasks.create();
    const frame = canvas.element;
    Object.assign(frame.style, { flex: "none", height: "46%", marginBottom: "12px" });
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", "Timeline; arrow keys choose a task, plus and minus zoom");
    const KEYS = {
      ArrowRight: () => State.chooseTask(Math.min(all.tasks.length - 1, (State.now.task ?? -1) + 1), "keys"),
      ArrowLeft: () => State.chooseTask(Math.max(0, (State.now.task ?? 1) - 1), "keys"),
      "+": () => zoom(0.5), "-": () => zoom(2), 0: () => { span.from = 0; span.to = total; canvas.redraw(); },
    };
    frame.addEventListener("keydown", (event) => { if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); } });
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      const width = frame.clientWidth;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(span.from + (event.deltaX || event.deltaY) / scale(width));
      else zoom(2 ** (event.deltaY / 240), span.from + (event.clientX - frame.getBoundingClientRect().left - LEFT) / scale(width));
    }, { passive: false });
    Dom.add(view, 
      make("div", { class: "tools" },
        make("button", { type: "button", onclick: () => zoom(0.5) }, "Zoom in"), make("button", { type: "button", onclick: () => zoom(2) }, "Zoom out"),
        make("button", { type: "button", onclick: () => { span.from = 0; span.to = total; canvas.redraw(); } }, "All"),
        make("button", { type: "button", onclick: () => { span.from = busyFrom; span.to = total; canvas.redraw(); } }, "Without dispatch"),
        legend([["neural engine", "ne"], ["planar engine", "pe"], ["transfers", "dma"], ["starting tasks", "rest"]])),
      frame, list.head, list.element,
      make("p", { class: "soft", style: { margin: "8px 0 0" } }, `Estimate for ${all.estimate.machine}. Dispatch takes ${Text.micros(dispatch)} before the first task${all.programs.length > 1 ? " of every program" : ""}.`));
  }

  function update(now, source) {
    if (now.task !== null && source !== "timeline") {
      const start = starts[now.task], size = span.to - span.from;
      if (start < span.from || start > span.to) move(start - size / 2);
    }
    canvas.redraw();
    list.reveal();
  }

  Views.push({ name: "timeline", title: "Timeline", build, update });
})();
