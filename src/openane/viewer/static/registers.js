"use strict";
/* The words of a task with names and meanings, by block. */

const Registers = (() => {
  const { make } = Dom;
  const { all } = Data;
  const WIDTHS = ["48px", "30%", "22%", "auto"];
  let everything = false;

  const bits = (field) => (field.width === 1 ? String(field.lsb) : `${field.lsb + field.width - 1}:${field.lsb}`);

  function lines(declaration, word, other) {
    const theirs = other === undefined ? null : Data.fieldsOf(declaration, other);
    const fields = Data.fieldsOf(declaration, word).filter((field, i) =>
      (theirs && theirs[i].value !== field.value) || (field.reserved ? field.value !== 0 : everything || field.changed));
    const byName = theirs && new Map(theirs.map((field) => [field.name, field]));
    return fields.map((field) => make("tr", { class: byName && byName.get(field.name).value !== field.value ? "changed" : field.reserved ? "unnamed" : undefined },
      make("td", { class: "soft mono" }, bits(field)),
      make("td", {}, field.name),
      make("td", { class: "mono" }, byName && byName.get(field.name).value !== field.value ? `${field.text} → ${byName.get(field.name).text}` : field.text),
      make("td", { class: "soft", title: [field.evidence, field.source].filter(Boolean).join("; ") }, [field.meaning, field.evidence === "guess" || field.evidence === "unknown" ? `(${field.evidence})` : ""].filter(Boolean).join(" "))));
  }

  function block(name, meaning, entries) {
    const rows = entries.flatMap(([declaration, word]) => {
      const shown = lines(declaration, word);
      if (!shown.length && !everything) return [];
      return [make("tr", {}, make("th", { colspan: 4, scope: "colgroup" },
        make("span", { class: "mono" }, `${Text.hex(declaration.address)} `), declaration.path.replace(`${name}.`, ""), make("span", { class: "mono" }, ` = ${Text.hex(word)}`),
        declaration.meaning && ` · ${declaration.meaning}`)), ...shown];
    });
    return make("details", { open: rows.length > 0 && rows.length < 60 }, make("summary", {}, make("strong", {}, name), meaning && ` · ${meaning}`, make("span", { class: "soft" }, ` (${entries.length} words)`)),
      rows.length ? make("table", { class: "fields" }, make("colgroup", {}, WIDTHS.map((width) => make("col", { style: { width } }))), make("tbody", {}, rows)) : make("p", { class: "soft" }, "All fields have their defaults."));
  }

  function draw(task) {
    const groups = new Map();
    for (const entry of Data.wordsOf(task)) {
      const name = entry[0].block;
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(entry);
    }
    const meanings = all.declarations[all.programs[task.program].target].blocks;
    const box = make("input", { type: "checkbox", id: "all-fields", checked: everything, onchange: () => { everything = box.checked; place.replaceWith(draw(task)); } });
    const place = make("div", {}, make("h3", {}, "Registers"), make("p", {}, box, " ", make("label", { for: "all-fields" }, "also fields at their default")),
      [...groups].map(([name, entries]) => block(name, meanings[name], entries)));
    return place;
  }

  return { draw };
})();
