import { sentence } from "./sentence.js";

const answer = await fetch("/api/next");
document.getElementById("next").textContent = sentence(await answer.json());
