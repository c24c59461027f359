import { greeting } from "./greeting.js";

document.querySelector("h1").textContent = greeting("site");
