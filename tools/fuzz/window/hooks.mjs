// Lets the entry script find a stand-in where ComfyUI's page has its application.

import { URL } from "node:url";

/** Resolve a module as node does, but the application of ComfyUI's page. */
export function resolve(specifier, context, next) {
  if (specifier !== "../../scripts/app.js") return next(specifier, context);
  return { url: new URL("app.mjs", import.meta.url).href, shortCircuit: true };
}
