// The theme: the system's, or the one that was chosen here, remembered where storage works. Runs before the first paint.
"use strict";
(() => {
  const root = document.documentElement;
  const words = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const order = ["", "light", "dark"];

  const remembered = () => {
    try { return localStorage.getItem("kwsbench-theme") || ""; } catch { return ""; }
  };
  const remember = (theme) => {
    try { theme ? localStorage.setItem("kwsbench-theme", theme) : localStorage.removeItem("kwsbench-theme"); } catch { /* then for this page alone */ }
  };
  const apply = (theme) => {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
  };

  let theme = order.includes(remembered()) ? remembered() : "";
  apply(theme);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "theme";
    button.textContent = words[theme];
    button.addEventListener("click", () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      apply(theme);
      remember(theme);
      button.textContent = words[theme];
    });
    document.querySelector(".bar").append(button);
  });
})();
