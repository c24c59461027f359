// The site comes out twice, since some of the Dockerfiles look for it in `dist` and some in `build`.
import { cpSync } from "node:fs";
import { build } from "esbuild";

for (const folder of ["dist", "build"]) {
  cpSync("public", folder, { recursive: true });
  await build({
    entryPoints: ["src/main.js"],
    bundle: true,
    minify: true,
    outfile: `${folder}/main.js`,
  });
}
