"use strict";
// The page is whole without this: here the counts become a filter, and links open what they lead to.
(() => {
  const strip = document.getElementById("strip");
  const filter = document.getElementById("filter");
  if (strip && filter) {
    const table = document.getElementById("by-table");
    const rung = document.getElementById("by-rung");
    const shown = document.getElementById("shown");
    const rows = [...document.querySelectorAll("#claims tbody tr")];
    const groups = [...document.querySelectorAll("#claims details.claim-group")];
    const opened = new Map(groups.map((group) => [group, group.open]));
    const buttons = [...strip.children].map((item) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "tile";
      button.setAttribute("aria-pressed", "false");
      button.dataset.verdict = item.dataset.verdict;
      button.append(...item.firstElementChild.childNodes);
      item.replaceChildren(button);
      return button;
    });
    const apply = () => {
      const wanted = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.verdict);
      let left = 0;
      for (const row of rows) {
        row.hidden = (wanted.length > 0 && !wanted.includes(row.dataset.verdict))
          || (table.value !== "" && row.dataset.table !== table.value)
          || (rung.value !== "" && row.dataset.rung !== rung.value);
        left += row.hidden ? 0 : 1;
      }
      const filtering = left < rows.length;
      for (const group of groups) {
        const own = [...group.querySelectorAll("tbody tr")].filter((row) => !row.hidden);
        group.hidden = own.length === 0;
        group.open = filtering ? own.length > 0 : opened.get(group);
      }
      shown.value = left === rows.length ? `${left} claims` : `${left} of ${rows.length} claims`;
      strip.classList.toggle("filtering", wanted.length > 0);
    };
    for (const button of buttons) {
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        apply();
      });
    }
    table.addEventListener("change", apply);
    rung.addEventListener("change", apply);
    filter.addEventListener("reset", () => {
      buttons.forEach((button) => button.setAttribute("aria-pressed", "false"));
      setTimeout(apply);
    });
    filter.addEventListener("submit", (event) => event.preventDefault());
    filter.hidden = false;
    apply();
  }
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let place = target; place; place = place.parentElement) {
      if (place.tagName === "DETAILS") place.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
})();
