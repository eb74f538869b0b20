// The rules for the pack's scripts, and for those of the tests and tools that run in node or in a page.

import js from "@eslint/js";

const named = (...names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

export default [
  { ignores: [".venv/", "build/", "node_modules/"] },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-implicit-globals": "error",
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  { files: ["web/**/*.js"], languageOptions: { globals: named("LiteGraph", "setTimeout") } },
  {
    files: ["tests/**/*.mjs", "tools/**/*.mjs"],
    languageOptions: { globals: named("console", "document", "fetch", "getComputedStyle", "LiteGraph", "process", "requestAnimationFrame", "setTimeout", "structuredClone", "window") },
  },
];
