"use strict";
const find = document.getElementById("find");
const rows = [...document.querySelectorAll("tr[data-words]")];
function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(word => word);
  const phrase = find.dataset.exact ? [find.value.toLowerCase()] : words;
  let shown = 0;
  for (const row of rows) {
    const hit = phrase.every(word => row.dataset.words.includes(word));
    row.hidden = !hit;
    shown += hit;
  }
  document.getElementById("found").textContent = `${shown} of ${rows.length}`;
}
find.addEventListener("input", () => { delete find.dataset.exact; filter(); });
for (const square of document.querySelectorAll("[data-find]")) {
  square.addEventListener("click", () => {
    find.value = square.dataset.find;
    find.dataset.exact = "yes";
    filter();
    document.getElementById("all").scrollIntoView();
  });
}
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", () => {
    const command = button.previousElementSibling;
    const select = () => { const range = document.createRange(); range.selectNodeContents(command); getSelection().removeAllRanges(); getSelection().addRange(range); };
    if (navigator.clipboard) navigator.clipboard.writeText(command.textContent).then(() => { button.textContent = "copied"; }, select);
    else select();
  });
}
filter();
