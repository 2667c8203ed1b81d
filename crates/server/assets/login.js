// Signs in with the code behind # of a printed link, which no server and no other page ever sees.
// Without it the code can be pasted like the token.
"use strict";
(() => {
  const code = location.hash.slice(1);
  if (!/^[0-9a-f]{64}$/.test(code)) return;
  history.replaceState(null, "", location.pathname + location.search);
  const form = document.querySelector("form");
  form.elements.token.value = code;
  form.submit();
})();
