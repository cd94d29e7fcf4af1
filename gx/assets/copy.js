// Puts a button beside each command that copies it. Without this file the commands can be selected as ever.
"use strict";

(() => {
  const { copy, copied } = document.body.dataset;

  const taken = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = window.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      return document.execCommand("copy");
    }
  };

  for (const code of document.querySelectorAll("code.command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = copy;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      if (await taken(code)) {
        button.textContent = copied;
        window.setTimeout(() => { button.textContent = copy; }, 2000);
      }
    });
    code.after(button);
  }
})();
