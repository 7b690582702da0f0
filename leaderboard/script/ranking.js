// The ranking: sort, search, filter, choose columns. The table is the data; every view has its own address.
"use strict";
(() => {
  const table = document.getElementById("ranking");
  const form = document.getElementById("view");
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.dataset.name);
  const bodies = [...table.tBodies];
  const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  const rows = bodies.flatMap((body) => [...body.rows].filter((row) => !row.className.match(/band|empty/)).map((row) => ({
    row, body,
    kinds: row.className.split(" "),
    ranked: row.cells[0].textContent !== "",
    team: row.cells[2].textContent,
    text: fold(row.cells[1].textContent + " " + row.cells[2].textContent),
  })));
  const rank = { name: "rank", down: false };
  const hiddenAtFirst = (table.dataset.hidden || "").split(" ").filter(Boolean).map((number) => names[number - 1]);
  let sort = rank;
  let hidden = new Set(hiddenAtFirst);

  // The view and its address
  const fields = form.elements;
  const viewOf = (address) => new URLSearchParams(address.includes("=") ? address : "");
  const addressOf = () => {
    const view = new URLSearchParams();
    if (fields.q.value.trim()) view.set("q", fields.q.value.trim());
    if (fields.team.value) view.set("team", fields.team.value);
    if (fields.verified.checked) view.set("verified", "1");
    if (fields.budget.checked) view.set("budget", "1");
    if (!fields.baselines.checked) view.set("baselines", "0");
    if (sort.name !== "rank" || sort.down) view.set("sort", (sort.down ? "-" : "") + sort.name);
    const columns = names.filter((name) => !hidden.has(name));
    const usual = names.filter((name) => !hiddenAtFirst.includes(name));
    if (columns.join() !== usual.join()) view.set("columns", columns.join(" "));
    return view.toString();
  };
  const read = () => {
    const view = viewOf(location.hash.slice(1));
    fields.q.value = view.get("q") || "";
    fields.team.value = view.get("team") || "";
    if (fields.team.selectedIndex < 0) fields.team.value = "";
    fields.verified.checked = view.get("verified") === "1";
    fields.budget.checked = view.get("budget") === "1";
    fields.baselines.checked = view.get("baselines") !== "0";
    const asked = view.get("sort") || "rank";
    const name = asked.replace(/^-/, "");
    sort = names.includes(name) && name !== "interval" ? { name, down: asked[0] === "-" } : rank;
    const columns = (view.get("columns") || "").split(" ").filter((one) => names.includes(one));
    hidden = new Set(columns.length ? names.filter((one) => choosable(one) && !columns.includes(one)) : hiddenAtFirst);
    for (const box of form.querySelectorAll(".columns input")) box.checked = !hidden.has(box.value);
  };
  const write = (isNew) => {
    const address = addressOf();
    if (address === viewOf(location.hash.slice(1)).toString()) return;
    try {
      history[isNew ? "pushState" : "replaceState"](null, "", address ? "#" + address : location.pathname + location.search);
    } catch { /* then the view has no address here */ }
  };

  // Showing it
  const valueOf = ({ row }, index, isNumber) => {
    const text = row.cells[index].textContent;
    if (!isNumber) return text.toLowerCase();
    const number = parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(number) ? null : number;
  };
  const order = () => {
    for (const head of heads) head.removeAttribute("aria-sort");
    const index = names.indexOf(sort.name);
    heads[index].setAttribute("aria-sort", sort.down ? "descending" : "ascending");
    const inBands = sort.name === "rank" && !sort.down;
    table.classList.toggle("flat", !inBands);
    if (inBands) {
      for (const { row, body } of rows) body.append(row);
      return;
    }
    const isNumber = heads[index].dataset.kind === "number";
    const keyed = rows.map((one, place) => ({ one, place, key: valueOf(one, index, isNumber) }));
    keyed.sort((a, b) => {
      if (a.one.ranked !== b.one.ranked) return a.one.ranked ? -1 : 1;
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
      const less = a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
      return (sort.down ? -less : less) || a.place - b.place;
    });
    bodies[0].append(...keyed.map(({ one }) => one.row));
  };
  const filter = () => {
    const words = fold(fields.q.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    const used = new Set();
    for (const one of rows) {
      const fits = words.every((word) => one.text.includes(word))
        && (!fields.team.value || one.team === fields.team.value)
        && (!fields.verified.checked || !/[pmo]/.test(one.kinds.join("")))
        && (!fields.budget.checked || !one.kinds.some((kind) => kind === "o" || kind === "x"))
        && (fields.baselines.checked || !one.kinds.includes("b"));
      one.row.hidden = !fits;
      if (fits) { shown += 1; used.add(one.body); }
    }
    const inBands = !table.classList.contains("flat");
    for (const body of bodies) for (const row of body.rows) if (row.className === "band") row.hidden = !(inBands && used.has(body));
    document.getElementById("none").hidden = shown > 0 || rows.length === 0;
    document.getElementById("count").textContent =
      shown === rows.length ? `${shown.toLocaleString("en")} entries` : `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} entries`;
  };
  const columns = () => names.forEach((name, index) => table.classList.toggle(`hide-${index + 1}`, hidden.has(name)));
  const show = () => { order(); filter(); columns(); };

  // What can be done with it
  const choosable = (name) => !["rank", "title", "value"].includes(name);
  for (const [index, head] of heads.entries()) {
    const name = names[index];
    if (name === "interval") continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const best = head.dataset.best === "high";
      sort = sort.name === name ? { name, down: !sort.down } : { name, down: best };
      write(true);
      show();
    });
  }
  const list = form.querySelector(".columns fieldset");
  for (const [index, name] of names.entries()) {
    if (!choosable(name)) continue;
    const label = document.createElement("label");
    const box = document.createElement("input");
    const text = document.createElement("span");
    Object.assign(box, { type: "checkbox", value: name });
    text.textContent = heads[index].firstChild.textContent;
    label.append(box, text);
    list.append(label);
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(name); else hidden.add(name);
      write(true);
      columns();
    });
  }
  for (const team of [...new Set(rows.map((one) => one.team))].sort()) fields.team.append(new Option(team, team));
  form.addEventListener("submit", (event) => event.preventDefault());
  fields.q.addEventListener("input", () => { write(false); filter(); });
  for (const field of [fields.team, fields.verified, fields.budget, fields.baselines]) {
    field.addEventListener("change", () => { write(true); filter(); });
  }
  document.addEventListener("click", (event) => {
    const open = form.querySelector(".columns[open]");
    if (open && !open.contains(event.target)) open.open = false;
  });
  form.addEventListener("keydown", (event) => {
    const open = form.querySelector(".columns[open]");
    if (event.key !== "Escape" || !open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });
  addEventListener("popstate", () => { read(); show(); });
  form.hidden = false;
  read();
  show();
})();
