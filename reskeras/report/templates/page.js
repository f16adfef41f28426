"use strict";
// a column's button sorts its table: numbers by value, the rest as text; empty cells last
function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace(/,/g, ""));
  return { text, number: /^[-+\d.]/.test(text) && !Number.isNaN(number) ? number : null };
}
function compare(one, other) {
  if (one.number !== null && other.number !== null) return one.number - other.number;
  if ((one.text === "") !== (other.text === "")) return one.text === "" ? 1 : -1;
  return one.text.localeCompare(other.text, "en", { numeric: true });
}
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const table = heading.closest("table");
    const falling = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => (falling ? -1 : 1) * compare(value(one, heading.cellIndex), value(other, heading.cellIndex)));
    table.tBodies[0].append(...rows);
  });
}
// what is scrolled by keyboard is reached by it, and nothing else
const watched = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const wide of document.querySelectorAll(".wide")) watched.observe(wide);
