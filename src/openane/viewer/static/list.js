"use strict";
/* A list that draws only the rows in sight; it is one stop of the Tab key, arrows move in it. */

const List = (() => {
  const { make } = Dom;
  const SPARE = 6;
  let lists = 0;

  /* count rows of a height; render(index) gives the children of a row; choose(index) is called on a click or arrow. */
  function create({ label, count, height, render, choose, chosen, decorate }) {
    const name = `list${(lists += 1)}`;
    const pad = make("div", { role: "presentation", style: { height: `${count * height}px` } });
    const box = make("div", { class: "list", role: "listbox", tabindex: 0, "aria-label": label }, pad);
    const shown = new Map();

    function row(index) {
      const classes = ["row", decorate && decorate(index)].filter(Boolean).join(" ");
      return make("div", {
        class: classes, role: "option", id: `${name}-${index}`, "aria-setsize": count, "aria-posinset": index + 1,
        "aria-selected": index === chosen() ? "true" : "false", style: { top: `${index * height}px`, height: `${height}px` },
        onclick: (event) => choose(index, event),
      }, render(index));
    }

    function draw(fresh) {
      const first = Math.max(0, Math.floor(box.scrollTop / height) - SPARE);
      const last = Math.min(count, Math.ceil((box.scrollTop + box.clientHeight) / height) + SPARE);
      for (const [index, element] of shown) {
        if (fresh || index < first || index >= last) { element.remove(); shown.delete(index); }
      }
      for (let index = first; index < last; index += 1) {
        if (!shown.has(index)) { shown.set(index, row(index)); pad.append(shown.get(index)); }
      }
      const active = chosen();
      if (active !== null && shown.has(active)) box.setAttribute("aria-activedescendant", `${name}-${active}`);
      else box.removeAttribute("aria-activedescendant");
    }

    function reveal() {
      const index = chosen();
      if (index !== null && index >= 0) {
        const top = index * height;
        if (top < box.scrollTop) box.scrollTop = top;
        else if (top + height > box.scrollTop + box.clientHeight) box.scrollTop = top + height - box.clientHeight;
      }
      draw(true);
    }

    const page = () => Math.max(1, Math.floor(box.clientHeight / height) - 1);
    const MOVES = {
      ArrowDown: (i) => i + 1, ArrowUp: (i) => i - 1, Home: () => 0, End: () => count - 1,
      PageDown: (i) => i + page(), PageUp: (i) => i - page(),
    };
    box.addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      if (!move || !count) return;
      event.preventDefault();
      choose(Math.min(count - 1, Math.max(0, move(chosen() ?? -1))), event);
    });
    box.addEventListener("scroll", () => draw(false));
    new ResizeObserver(() => draw(false)).observe(box);
    return { element: box, reveal, draw };
  }

  return { create };
})();
