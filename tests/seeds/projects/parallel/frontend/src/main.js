document.body.textContent = "built beside the backend";
