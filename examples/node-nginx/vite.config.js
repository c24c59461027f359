import { defineConfig } from "vite";

export default defineConfig({
  // Vite's own compiler knows JSX; its cache stands where an ordinary user may write.
  esbuild: { jsx: "automatic" },
  cacheDir: "/tmp/vite",
});
