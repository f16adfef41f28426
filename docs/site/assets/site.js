// Sortable tables with a filter, commands that are copied, code in lines, regions that scroll by keyboard, old links.
(() => {
  const SIZES = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

  // what a cell sorts by: a number with its unit, else its text
  const worth = (text) => {
    const found = /^(-?[\d,]*\.?\d+(?:e[-+]?\d+)?)(?:\s*([kMGT])\b|\s*[%a-z ]*$)/.exec(text.trim());
    return found ? Number(found[1].replaceAll(",", "")) * (SIZES[found[2]] ?? 1) : text.trim();
  };

  const compare = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    return one.localeCompare(other, "en", { numeric: true });
  };

  const sort = (table, column, header) => {
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [worth(row.cells[column].textContent), row]);
    const empty = ([value]) => value === "" || value === "-";
    rows.sort((a, b) => empty(a) - empty(b) || (down ? -1 : 1) * compare(a[0], b[0]));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };

  const filtered = (table) => {
    const label = document.createElement("label");
    label.className = "filter";
    label.textContent = "Filter ";
    const input = document.createElement("input");
    input.type = "search";
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    label.append(input);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      count.textContent = words.length ? `${shown} of ${table.tBodies[0].rows.length}` : "";
    });
    const line = document.createElement("p");
    line.className = "filter-line";
    line.append(label, count);
    return line;
  };

  const sortable = (region) => {
    const table = region.querySelector("table");
    if (!table || region.dataset.ready) return;
    region.dataset.ready = "yes";
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sort(table, column, header));
    });
    if (table.tBodies[0].rows.length > 12) region.prepend(filtered(table));
  };

  // a region that scrolls sideways is one that the keyboard reaches; buttons of code are no landmarks
  const accessible = () => {
    for (const each of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) {
      const wide = each.scrollWidth > each.clientWidth;
      if (wide) each.setAttribute("tabindex", "0");
      else each.removeAttribute("tabindex");
    }
    for (const each of document.querySelectorAll("nav.md-code__nav:not([role])")) each.setAttribute("role", "none");
  };

  // of a console's block its button copies the commands, without prompts and without what they print
  const commands = (block) => {
    const lines = block.querySelector("code").textContent.split("\n");
    const typed = lines.filter((line, n) => line.startsWith("$ ") || (n && lines[n - 1].endsWith("\\")));
    if (typed.length) block.dataset.copy = typed.map((line) => line.replace(/^\$ /, "")).join("\n");
  };

  // a short piece of code stays on one line; a longer one breaks between its words, not at the hyphens of an option
  const unbroken = (code) => {
    if (code.textContent.length <= 24) return code.classList.add("whole");
    const words = code.textContent.split(/(\s+)/).map((word) => {
      if (!word.includes("-") || word.length > 30) return word;
      const whole = document.createElement("span");
      whole.className = "whole";
      whole.textContent = word;
      return whole;
    });
    code.replaceChildren(...words);
  };

  // links to sections of the README of old
  const lead = () => {
    const target = typeof moved === "object" && moved[location.hash.slice(1)];
    if (target && !document.getElementById(location.hash.slice(1))) location.replace(new URL(target, location.href.split("#")[0]));
  };

  lead();
  addEventListener("hashchange", lead);
  for (const each of document.querySelectorAll(".sortable")) sortable(each);
  for (const each of document.querySelectorAll(".language-console")) commands(each);
  for (const each of document.querySelectorAll(".md-typeset :not(pre) > code")) unbroken(each);
  new ResizeObserver(accessible).observe(document.body);
  new MutationObserver(accessible).observe(document.body, { childList: true, subtree: true });
})();
