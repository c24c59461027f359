// Writes the version into the program; nothing but Node is needed for it.
const fs = require("node:fs");
const { version } = require("./package.json");

fs.mkdirSync("dist", { recursive: true });
fs.writeFileSync("dist/index.js", fs.readFileSync("index.js", "utf8").replace("@version@", version));
