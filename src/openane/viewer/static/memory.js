"use strict";
/* Which bytes hold which tensor when: tasks to the right, addresses downwards. */

(() => {
  const { make, legend } = Dom;
  const { all } = Data;
  const LEFT = 76, TOP = 22;
  const maps = all.programs.flatMap((program, number) => program.memory.map((map) => ({ ...map, program: number })));
  if (!maps.length) return;
  let current = 0, canvas = null, choice = null;
  const span = { from: 0, count: 0 };

  /* The tasks in sight: all of the program, or fewer around a place. */
  function zoom(factor, center) {
    const { count } = all.programs[maps[current].program];
    const shown = span.count || count;
    const size = Math.min(count, Math.max(4, shown * factor));
    const task = State.now.task === null ? span.from + shown / 2 : State.now.task - all.programs[maps[current].program].first;
    move((center ?? task) - size / 2, size);
  }
  function move(from, size = span.count) {
    const { count } = all.programs[maps[current].program];
    span.count = size || count;
    span.from = Math.max(0, Math.min(from, count - span.count));
    canvas.redraw();
  }
  const KINDS = { transfer: "rest", input: "dma" };

  const geometry = (width, height) => {
    const map = maps[current], program = all.programs[map.program];
    const first = program.first, count = Math.max(1, span.count || program.count);
    const step = (width - LEFT - 10) / count;
    const x = (task) => LEFT + Math.min(count, Math.max(0, Math.max(task, first) - first - span.from)) * step;
    return { map, x, y: (byte) => TOP + (byte / map.size) * (height - TOP - 12), step, inSight: (from, to) => to - first >= span.from && Math.max(from, first) - first < span.from + count };
  };

  function paint(context, width, height, color) {
    const { map, x, y, step, inSight } = geometry(width, height);
    context.strokeStyle = color("line");
    for (let i = 0; i <= 4; i += 1) {
      const byte = (map.size * i) / 4;
      context.fillStyle = color("soft");
      context.fillText(Text.bytes(Math.round(byte)), 6, y(byte) + 4);
      context.beginPath(); context.moveTo(LEFT, y(byte)); context.lineTo(width - 10, y(byte)); context.stroke();
    }
    if (State.now.task !== null && all.tasks[State.now.task].program === map.program && inSight(State.now.task, State.now.task)) {
      context.fillStyle = color("chosen");
      context.fillRect(x(State.now.task), TOP, Math.max(2, step), height - TOP - 12);
    }
    for (const [first, last, base, end, what] of map.tenants) {
      if (!inSight(first, last)) continue;
      const left = x(first), top = y(base), wide = Math.max(1.5, x(last + 1) - left - 1), high = Math.max(1.5, y(end) - top - 0.5);
      const engine = first >= 0 ? all.tasks[first].engine : "";
      context.fillStyle = color(KINDS[what] || Colors.engines[engine] || "rest");
      context.globalAlpha = what === "transfer" ? 0.35 : State.now.task === first ? 1 : 0.75;
      context.fillRect(left, top, wide, high);
      context.globalAlpha = 1;
      if (wide > 40 && high > 14) { context.fillStyle = color("on-mark"); context.fillText(first >= 0 ? `task ${first}` : what, left + 4, top + 12); }
    }
    context.fillStyle = color("soft");
    context.fillText("task by task", LEFT, 14);
  }

  function at(px, py) {
    const { map, x, y } = geometry(canvas.element.clientWidth, canvas.element.clientHeight);
    const found = map.tenants.filter(([first, last, base, end]) =>
      px >= x(first) && px <= Math.max(x(last + 1), x(first) + 2) && py >= y(base) && py <= Math.max(y(end), y(base) + 2));
    return found.length ? found[found.length - 1] : null;
  }

  const words = ([first, last, base, end, what]) =>
    `${what}${first >= 0 ? ` of task ${first}` : ""}${first >= 0 && all.tasks[first].origin.length ? ` (${all.tasks[first].origin.join(" + ")})` : ""}: ` +
    `${Text.hex(base)} to ${Text.hex(end)}, ${Text.bytes(end - base)}, ${last > first ? `needed until task ${last}` : "not read later"}`;

  function table() {
    const map = maps[current];
    const task = State.now.task;
    const live = task === null ? [] : map.tenants.filter(([first, last]) => first <= task && last >= task);
    if (task === null) return make("p", { class: "soft" }, "Choose a task to see what is in this memory while it runs.");
    if (!live.length) return make("p", { class: "soft" }, `Nothing is in this memory during task ${task}.`);
    return make("ul", {}, live.map((tenant) => make("li", {}, words(tenant))));
  }

  let below = null;
  function build(view) {
    choice = make("select", { id: "memory-choice", onchange: () => { current = choice.selectedIndex; span.from = 0; span.count = 0; refresh(); } },
      maps.map((map) => make("option", {}, all.programs.length > 1 ? `${all.programs[map.program].name}: ${map.name}` : map.name)));
    choice.selectedIndex = current;
    canvas = Canvas.create({
      label: "Map of a memory: tasks to the right, addresses downwards; the list below says the same of the chosen task",
      paint, tip: (x, y) => { const found = at(x, y); return found ? words(found) : ""; },
      click: (x, y) => { const found = at(x, y); if (found && found[0] >= 0) State.chooseTask(found[0], "memory"); },
    });
    below = make("div", { style: { maxHeight: "26%", overflow: "auto", marginTop: "10px" }, tabindex: 0, role: "region", "aria-label": "In memory during the chosen task" });
    canvas.element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const step = geometry(canvas.element.clientWidth, 1).step;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(span.from + (event.deltaX || event.deltaY) / step);
      else zoom(2 ** (event.deltaY / 240), span.from + (event.clientX - canvas.element.getBoundingClientRect().left - LEFT) / step);
    }, { passive: false });
    Dom.add(view, make("div", { class: "tools" }, make("label", { for: "memory-choice" }, "Memory"), choice,
      make("button", { type: "button", onclick: () => zoom(0.5) }, "Zoom in"), make("button", { type: "button", onclick: () => zoom(2) }, "Zoom out"),
      legend([["from the neural engine", "ne"], ["from the planar engine", "pe"], ["input", "dma"], ["passing through", "rest"]])), canvas.element, below);
  }

  function refresh() {
    canvas.redraw();
    below.replaceChildren(table());
  }

  function update(now, source) {
    const program = now.task === null ? null : all.tasks[now.task].program;
    if (program !== null && maps[current].program !== program && maps.some((map) => map.program === program)) {
      current = maps.findIndex((map) => map.program === program);
      choice.selectedIndex = current;
      span.from = 0;
      span.count = 0;
    }
    if (now.task !== null && source !== "memory" && span.count) {
      const place = now.task - all.programs[maps[current].program].first;
      if (place < span.from || place >= span.from + span.count) move(place - span.count / 2);
    }
    refresh();
  }

  Views.push({ name: "memory", title: "Memory", build, update });
})();
