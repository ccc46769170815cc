"use strict";
// Sorts a table by the column whose header is pressed; pressing it again reverses the order. Numeric
// columns start with the largest value. Headers are buttons, so they work from the keyboard.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const column = head.cellIndex;
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const rows = [...body.rows];
    const numeric = rows.every((row) => row.cells[column].dataset.value !== undefined);
    const ascending = head.hasAttribute("aria-sort")
      ? head.getAttribute("aria-sort") === "descending"
      : !numeric;
    const compare = numeric
      ? (a, b) => Number(key(a)) - Number(key(b))
      : (a, b) => key(a).localeCompare(key(b), "en", { numeric: true });
    // Stable in both directions: equal rows keep their order.
    rows.sort((a, b) => (ascending ? compare(a, b) : compare(b, a)));
    body.append(...rows);
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  });
}
