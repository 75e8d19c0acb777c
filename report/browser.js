// Filters the samples; without it all are shown.
"use strict";
const filter = document.getElementById("filter");
if (filter) {
  const task = document.getElementById("task");
  const wrong = document.getElementById("wrong");
  const differ = document.getElementById("differ");
  const show = () => {
    let shown = 0;
    for (const group of document.querySelectorAll(".task")) {
      let here = 0;
      for (const s of group.querySelectorAll(".sample")) {
        s.hidden = (wrong.checked && !("wrong" in s.dataset)) || (differ.checked && !("differ" in s.dataset));
        if (!s.hidden) here++;
      }
      group.hidden = here === 0 || (task.value !== "" && task.value !== group.dataset.task);
      if (!group.hidden) shown += here;
      group.open = !group.hidden && (task.value !== "" || group.open);
    }
    document.getElementById("count").textContent = shown + " shown";
  };
  filter.hidden = false;
  for (const input of [task, wrong, differ]) input.addEventListener("change", show);
  show();
}
